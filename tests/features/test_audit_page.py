"""The page of the record shows a person what concerns their features and themselves, nothing of others."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import transaction

from audit.queries import records
from audit.services import Actor, append, make_checkpoint, verify_all
from features.models import Person
from features.services import create_feature, create_person
from tests.support import ROOT, Browser, Stack, unique


@pytest.fixture
def two_leads(stack: Stack) -> list[tuple[Person, str]]:
    leads = []
    for _ in range(2):
        person, _ = create_person(name=unique("lead"))
        slug = unique("audited")
        create_feature(slug=slug, task="One sentence.", by=person)
        leads.append((person, slug))
    return leads


def test_a_lead_sees_their_features_records_and_no_others(
    stack: Stack, two_leads: list[tuple[Person, str]]
) -> None:
    (first, mine), (_, other) = two_leads
    page = Browser(stack, first).get("/audit/")
    assert page.status_code == 200
    text = page.text
    assert mine in text
    assert other not in text
    refused = Browser(stack, first).get("/audit/", {"feature": other})
    absent = Browser(stack, first).get("/audit/", {"feature": "no-such-feature"})
    assert refused.status_code == absent.status_code == 400
    assert "There is no feature" in refused.text
    assert refused.text.count(other) == absent.text.count("no-such-feature")


def test_an_administrator_sees_everything_and_nobody_sees_nothing(
    stack: Stack,
    two_leads: list[tuple[Person, str]],
) -> None:
    administrator, _ = create_person(name=unique("admin"), administrator=True)
    text = Browser(stack, administrator).get("/audit/").text
    for _, slug in two_leads:
        assert slug in text
    assert Browser(stack).get("/audit/").status_code == 302


def test_a_person_without_a_role_sees_only_what_is_about_them(
    stack: Stack, two_leads: list[tuple[Person, str]]
) -> None:
    nobody, _ = create_person(name=unique("nobody"))
    page = Browser(stack, nobody).get("/audit/")
    assert "1 record" in page.text
    assert "person.created" in page.text


def test_filters_narrow_and_a_bad_one_says_so(stack: Stack, two_leads: list[tuple[Person, str]]) -> None:
    person, slug = two_leads[0]
    browser = Browser(stack, person)
    found = browser.get("/audit/", {"action": "feature.created", "feature": slug}).text
    assert "1 record" in found
    assert "<code>role.given</code>" not in found
    for bad in ({"action": "made.up"}, {"before": "soon"}, {"before": "-1"}):
        assert browser.get("/audit/", bad).status_code == 400
    assert browser.get("/audit/", {"before": "1"}).status_code == 200
    assert browser.get("/audit/", {"actor": "\x00", "subject": "x" * 500}).status_code == 200


def test_a_proof_of_a_record_holds_offline_and_breaks_with_any_change(
    stack: Stack, two_leads: list[tuple[Person, str]], tmp_path: Path
) -> None:
    (first, _), (second, _) = two_leads
    mine = next(one for one in records() if one["actor"] == str(first.pk))
    make_checkpoint()
    got = Browser(stack, first).get(f"/audit/{mine['number']}/proof.json")
    assert got.status_code == 200
    assert Browser(stack, second).get(f"/audit/{mine['number']}/proof.json").status_code == 404
    assert Browser(stack, second).get("/audit/99999999/proof.json").status_code == 404
    key, proof = tmp_path / "key.pem", tmp_path / "proof.json"
    key.write_text(stack.manage("audit", "public-key").stdout)

    def verified(text: str) -> subprocess.CompletedProcess[str]:
        proof.write_text(text)
        command = [sys.executable, "-I", str(ROOT / "audit/verifier.py"), "--proof", str(proof)]
        return subprocess.run(
            [*command, "--public-key", str(key)], capture_output=True, text=True, timeout=60
        )

    assert verified(got.text).returncode == 0
    for changed in ({"actor": "somebody else"}, {"number": mine["number"] + 1}, {"action": "role.taken"}):
        said = json.loads(got.text)
        said["record"] |= changed
        assert verified(json.dumps(said)).returncode == 1
    said = json.loads(got.text)
    said["checkpoint"]["size"] += 1
    assert verified(json.dumps(said)).returncode == 1
    assert verified("{}").returncode == 2


def test_an_export_holds_what_the_page_shows_and_no_formula(
    stack: Stack, two_leads: list[tuple[Person, str]]
) -> None:
    (first, mine), (_, other) = two_leads
    with transaction.atomic():
        append(
            Actor("person", str(first.pk), "=HYPERLINK(1)"),
            "sign_out.done",
            subject=("person", str(first.pk)),
        )
    browser = Browser(stack, first)
    lines = [json.loads(line) for line in browser.get("/audit/export.jsonl").text.splitlines()]
    rows = list(csv.DictReader(io.StringIO(browser.get("/audit/export.csv").text)))
    # The first export is itself in the second.
    assert [row["hash"] for row in rows[1:]] == [line["hash"] for line in lines]
    assert rows[0]["action"] == "audit.exported"
    assert any(mine in line["payload"] for line in lines)
    assert not any(other in line["payload"] for line in lines)
    assert "'=HYPERLINK(1)" in {row["session"] for row in rows}
    filtered = browser.get("/audit/export.jsonl", {"action": "sign_out.done"}).text.splitlines()
    assert {json.loads(line)["action"] for line in filtered} == {"sign_out.done"}
    assert browser.get("/audit/export.csv", {"action": "no.such"}).status_code == 400


def test_the_page_says_how_far_it_is_verified_and_what_may_be_claimed(
    stack: Stack, two_leads: list[tuple[Person, str]]
) -> None:
    make_checkpoint()
    verified = verify_all()
    assert verified.bad_number is None
    page = Browser(stack, two_leads[0][0]).get("/audit/").text
    # The product's own worker verifies too; whoever was last, it reached the records of then.
    said = re.search(r"<dt>Verified</dt><dd>up to record ([0-9,]+)", page)
    assert said
    assert int(said[1].replace(",", "")) > 0
    assert "A compromised application can append lies, not change the past." in page
    assert "Set <code>CLEARANCE_AUDIT_SINKS</code>" in page
