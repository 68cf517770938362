"""The way of a policy into force: a draft that nobody overwrites unseen, one lead for what narrows, else two."""

import json
import re
import threading
from typing import Any

import httpx
import pytest
from django.db import DatabaseError, connection, transaction

from audit.queries import records
from features.errors import ConflictError
from features.models import Feature, Notice, Person, PolicyDraft, PolicyProposal, PolicyVersion
from features.policy import active_version, read_policy
from features.policy.activation import apply_policy
from features.policy.drafts import (
    DraftMoved,
    accept_proposal,
    activate_draft,
    decline_proposal,
    look_at,
    propose_draft,
    save_draft,
)
from features.services import create_feature, create_person, take_role
from tests.features.test_policy import POLICY
from tests.support import Browser, Stack, unique

NARROWER = ('limit = "500"', 'limit = "100"')
WIDER = ('limit = "500"', 'limit = "900"')


def lead_of(feature: Feature, role: str = "lead") -> Person:
    return create_person(name=unique("person"), roles=[(feature.slug, role)])[0]


@pytest.fixture
def feature() -> Feature:
    """A feature with a policy in force."""
    made = create_feature(slug=unique("agent"), name="Billing agent")
    text = POLICY.replace("SLUG", made.slug)
    apply_policy(read_policy(text).document, text)
    return made


def text_of(feature: Feature, *changes: tuple[str, str]) -> str:
    text = POLICY.replace("SLUG", feature.slug)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def write(feature: Feature, by: Person, *changes: tuple[str, str]) -> PolicyDraft:
    found = PolicyDraft.objects.filter(feature=feature).first()
    return save_draft(
        feature=feature, text=text_of(feature, *changes), revision=found.revision if found else 0, by=by
    )


def number_in_force(feature: Feature) -> int:
    version = active_version(feature.pk)
    return version.number if version else 0


def record_of(subject: Any) -> dict[str, Any]:
    return next(one for one in records() if one["subject"] == str(subject))


# --- the draft --------------------------------------------------------------------------------------------


def test_a_draft_is_kept_when_it_does_not_parse_and_changes_nothing_in_force(feature: Feature) -> None:
    lead = lead_of(feature)
    draft = save_draft(feature=feature, text="[feature\r\nhalf written", revision=0, by=lead)
    assert (draft.text, draft.revision) == ("[feature\nhalf written", 1)
    assert look_at(feature, draft.text).faults
    assert number_in_force(feature) == 1


def test_two_tabs_never_overwrite_each_other_unseen(feature: Feature) -> None:
    one, other = lead_of(feature), lead_of(feature)
    write(feature, one, NARROWER)
    seen = PolicyDraft.objects.get(feature=feature).revision
    save_draft(feature=feature, text="mine", revision=seen, by=one)
    with pytest.raises(DraftMoved):
        save_draft(feature=feature, text="yours", revision=seen, by=other)
    assert PolicyDraft.objects.get(feature=feature).text == "mine"


def test_of_racing_editors_one_saves_and_the_others_are_told(feature: Feature) -> None:
    leads = [lead_of(feature) for _ in range(4)]
    told: list[str] = []

    def save(lead: Person) -> None:
        try:
            save_draft(feature=feature, text=f"of {lead.name}", revision=0, by=lead)
        except DraftMoved:
            told.append(lead.name)
        finally:
            connection.close()

    threads = [threading.Thread(target=save, args=(lead,)) for lead in leads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    draft = PolicyDraft.objects.get(feature=feature)
    assert (draft.revision, len(told)) == (1, 3)
    assert draft.edited_by.name not in told


def test_the_policy_of_another_feature_is_no_draft_of_this_one(feature: Feature) -> None:
    look = look_at(feature, POLICY.replace("SLUG", "another-agent"))
    assert [(fault.path, fault.line) for fault in look.faults] == [("feature.slug", 3)]


# --- into force -------------------------------------------------------------------------------------------


def test_what_only_narrows_one_lead_puts_in_force(feature: Feature) -> None:
    lead = lead_of(feature)
    draft = write(feature, lead, NARROWER, ("quorum = 1", "quorum = 2"))
    applied = activate_draft(feature=feature, revision=draft.revision, by=lead)
    assert (applied.number, number_in_force(feature)) == (2, 2)
    assert not PolicyDraft.objects.filter(feature=feature).exists()
    payload = json.loads(record_of(PolicyVersion.objects.get(feature=feature, number=2).pk)["payload"])
    assert (payload["proposed_by"], payload["alone"]) == (None, False)


def test_what_widens_needs_another_lead_who_neither_proposed_nor_wrote_it(feature: Feature) -> None:
    writer, proposer, other = lead_of(feature), lead_of(feature), lead_of(feature)
    draft = write(feature, writer, WIDER)
    with pytest.raises(ConflictError, match="another lead"):
        activate_draft(feature=feature, revision=draft.revision, by=writer)
    proposal = propose_draft(feature=feature, revision=draft.revision, by=proposer)
    assert record_of(proposal.pk)["action"] == "policy.proposed"
    told = Notice.objects.get(kind="policy.proposed", feature=feature).deliveries
    assert {one.person_id for one in told.all()} == {writer.pk, other.pk}
    for partial in (writer, proposer):
        with pytest.raises(ConflictError, match="another lead accepts"):
            accept_proposal(feature=feature, proposal=proposal.pk, by=partial)
    assert number_in_force(feature) == 1
    accepted = accept_proposal(feature=feature, proposal=proposal.pk, by=other)
    assert (accepted.state, accepted.number, number_in_force(feature)) == ("accepted", 2, 2)
    payload = json.loads(record_of(PolicyVersion.objects.get(feature=feature, number=2).pk)["payload"])
    assert payload["proposed_by"] == str(proposer.pk)
    with pytest.raises(ConflictError, match="already"):
        accept_proposal(feature=feature, proposal=proposal.pk, by=other)


def test_going_back_to_an_older_policy_widens(feature: Feature) -> None:
    lead = lead_of(feature)
    wider = text_of(feature, WIDER)
    apply_policy(read_policy(wider).document, wider)
    look = look_at(feature, text_of(feature))
    assert "goes back to policy 1" in look.widenings[0].why
    draft = write(feature, lead)
    with pytest.raises(ConflictError, match="another lead"):
        activate_draft(feature=feature, revision=draft.revision, by=lead)


def test_what_is_accepted_is_what_was_proposed_and_not_what_the_draft_became(feature: Feature) -> None:
    proposer, other = lead_of(feature), lead_of(feature)
    draft = write(feature, proposer, WIDER)
    proposal = propose_draft(feature=feature, revision=draft.revision, by=proposer)
    write(feature, proposer, ('limit = "500"', 'limit = "9000"'))
    accept_proposal(feature=feature, proposal=proposal.pk, by=other)
    version = active_version(feature.pk)
    assert version is not None
    assert 'limit = "900"' in version.source
    assert PolicyDraft.objects.get(feature=feature).text.count('limit = "9000"') == 1


def test_a_proposal_is_outdated_when_another_policy_came_into_force(feature: Feature) -> None:
    proposer, other = lead_of(feature), lead_of(feature)
    draft = write(feature, proposer, WIDER)
    proposal = propose_draft(feature=feature, revision=draft.revision, by=proposer)
    text = text_of(feature, NARROWER)
    apply_policy(read_policy(text).document, text)
    with pytest.raises(ConflictError, match="no longer in force"):
        accept_proposal(feature=feature, proposal=proposal.pk, by=other)


def test_a_declined_proposal_says_why_and_leaves_the_draft(feature: Feature) -> None:
    proposer, other = lead_of(feature), lead_of(feature)
    draft = write(feature, proposer, WIDER)
    proposal = propose_draft(feature=feature, revision=draft.revision, by=proposer)
    with pytest.raises(ConflictError, match="waits"):
        propose_draft(feature=feature, revision=draft.revision, by=other)
    declined = decline_proposal(feature=feature, proposal=proposal.pk, by=other, reason="Too much a day.")
    assert (declined.state, declined.reason, number_in_force(feature)) == ("declined", "Too much a day.", 1)
    assert record_of(proposal.pk)["action"] == "policy.proposed"
    assert "Too much" not in json.dumps(
        [one["payload"] for one in records() if one["subject"] == str(proposal.pk)]
    )
    assert PolicyDraft.objects.filter(feature=feature).exists()


def test_two_leads_who_answer_at_once_answer_once(feature: Feature) -> None:
    proposer, *others = (lead_of(feature) for _ in range(5))
    draft = write(feature, proposer, WIDER)
    proposal = propose_draft(feature=feature, revision=draft.revision, by=proposer)
    done: list[str] = []

    def answer(lead: Person, at: int) -> None:
        try:
            if at % 2:
                accept_proposal(feature=feature, proposal=proposal.pk, by=lead)
            else:
                decline_proposal(feature=feature, proposal=proposal.pk, by=lead, reason="No.")
            done.append("accepted" if at % 2 else "declined")
        except ConflictError:
            pass
        finally:
            connection.close()

    threads = [threading.Thread(target=answer, args=(lead, at)) for at, lead in enumerate(others)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [PolicyProposal.objects.get(pk=proposal.pk).state]
    assert number_in_force(feature) == (2 if done == ["accepted"] else 1)


def test_who_lost_the_role_accepts_nothing(feature: Feature) -> None:
    proposer, other = lead_of(feature), lead_of(feature)
    draft = write(feature, proposer, WIDER)
    proposal = propose_draft(feature=feature, revision=draft.revision, by=proposer)
    take_role(feature=feature, person=other, role="lead", by=proposer)
    with pytest.raises(ConflictError, match="lead"):
        accept_proposal(feature=feature, proposal=proposal.pk, by=other)


def test_the_database_holds_the_second_person_and_the_frozen_text(feature: Feature) -> None:
    proposer = lead_of(feature)
    draft = write(feature, proposer, WIDER)
    proposal = propose_draft(feature=feature, revision=draft.revision, by=proposer)
    for changed in (
        {"state": "accepted", "decided_by": proposer, "number": 2},
        {"state": "accepted", "decided_by": None, "number": 2},
        {"source": "another"},
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            PolicyProposal.objects.filter(pk=proposal.pk).update(**changed)


def test_the_only_lead_of_a_feature_writes_its_first_policy_alone_and_the_record_says_so() -> None:
    feature = create_feature(slug=unique("agent"))
    lead = lead_of(feature)
    draft = write(feature, lead)
    activate_draft(feature=feature, revision=draft.revision, by=lead)
    payload = json.loads(record_of(PolicyVersion.objects.get(feature=feature).pk)["payload"])
    assert payload["alone"] is True
    wider = write(feature, lead, WIDER)
    with pytest.raises(ConflictError, match="another lead"):
        activate_draft(feature=feature, revision=wider.revision, by=lead)


def test_the_first_policy_of_a_feature_with_two_leads_needs_both() -> None:
    feature = create_feature(slug=unique("agent"))
    lead, _ = lead_of(feature), lead_of(feature)
    draft = write(feature, lead)
    with pytest.raises(ConflictError, match="another lead"):
        activate_draft(feature=feature, revision=draft.revision, by=lead)


# --- pages ------------------------------------------------------------------------------------------------


def address(feature: Feature, below: str = "draft/") -> str:
    return f"/features/{feature.slug}/policy/{below}"


def test_the_page_shows_faults_with_their_lines_while_typing(stack: Stack, feature: Feature) -> None:
    browser = Browser(stack, lead_of(feature))
    page = browser.get(address(feature))
    assert page.status_code == 200
    assert "this is policy 1, which is in force" in page.text
    wrong = text_of(
        feature, ("args.currency == &quot;USD&quot; &&".replace("&quot;", '"'), "args.ghost == 1 ||")
    )
    checked = browser.post(address(feature, "draft/check/"), {"text": wrong})
    assert checked.status_code == 200
    line = next(at for at, line in enumerate(wrong.splitlines(), 1) if "ghost" in line)
    assert f"<b>Line {line}</b>" in checked.text
    assert "there is no ghost in args" in checked.text
    assert "<html" not in checked.text
    assert not PolicyDraft.objects.filter(feature=feature).exists()


def test_a_late_save_keeps_both_texts_and_shows_what_differs(stack: Stack, feature: Feature) -> None:
    browser = Browser(stack, lead_of(feature))
    write(feature, lead_of(feature), NARROWER)
    late = browser.post(address(feature), {"text": "# mine\n", "revision": "0", "act": "save"})
    assert late.status_code == 409
    assert "saved the draft meanwhile" in late.text
    assert 'name="revision" value="1"' in late.text
    assert "# mine" in late.text
    again = browser.post(address(feature), {"text": "# mine\n", "revision": "1", "act": "save"})
    assert again.status_code == 302
    assert PolicyDraft.objects.get(feature=feature).text == "# mine\n"


def test_from_the_page_a_policy_goes_by_a_second_lead_into_force(stack: Stack, feature: Feature) -> None:
    proposer, other = Browser(stack, lead_of(feature)), Browser(stack, lead_of(feature))
    text = text_of(feature, WIDER)
    activated = proposer.post(address(feature), {"text": text, "revision": "0", "act": "activate"})
    assert activated.status_code == 409
    proposed = proposer.post(address(feature), {"text": text, "revision": "1", "act": "propose"})
    assert proposed.status_code == 302
    page = proposed.headers["Location"]
    assert "another lead accepts it" in proposer.get(page).text
    assert "Put it in force" in other.get(page).text
    assert proposer.post(page, {"answer": "accept"}).status_code == 409
    accepted = other.post(page, {"answer": "accept"})
    assert (accepted.status_code, number_in_force(feature)) == (302, 2)
    assert "Accepted by" in proposer.get(page).text


def test_a_script_neither_saves_nor_accepts(stack: Stack, feature: Feature) -> None:
    proposer, other = lead_of(feature), lead_of(feature)
    draft = write(feature, proposer, WIDER)
    proposal = propose_draft(feature=feature, revision=draft.revision, by=proposer)
    for header in ({"HX-Request": "true"}, {"Sec-Fetch-Mode": "cors"}):
        browser = Browser(stack, other)
        browser._http.headers.update(header)
        for path in (address(feature, f"proposals/{proposal.pk}/"), address(feature)):
            answer = browser.post(path, {"answer": "accept", "text": "x", "revision": "1"})
            assert answer.status_code == 403
    assert number_in_force(feature) == 1


def test_others_read_the_draft_and_change_nothing(stack: Stack, feature: Feature) -> None:
    write(feature, lead_of(feature), NARROWER)
    viewer = Browser(stack, lead_of(feature, "viewer"))
    page = viewer.get(address(feature))
    assert "readonly" in page.text
    assert "Save the draft" not in page.text
    assert viewer.post(address(feature), {"text": "x", "revision": "1"}).status_code == 403


def test_any_version_is_downloaded_as_it_was_written_and_any_two_are_compared(
    stack: Stack, feature: Feature
) -> None:
    for limit in ("400", "300"):
        text = "# Version\n" + text_of(feature, ('limit = "500"', f'limit = "{limit}"'))
        apply_policy(read_policy(text).document, text)
    browser = Browser(stack, lead_of(feature, "viewer"))
    file: httpx.Response = browser.get(address(feature, "2/clearance.toml"))
    assert file.text == PolicyVersion.objects.get(feature=feature, number=2).source
    assert "attachment" in file.headers["Content-Disposition"]
    assert browser.get(address(feature, "9/clearance.toml")).status_code == 404
    page = browser.get(f"/features/{feature.slug}/policy/?version=3&against=1").text
    found = re.search(r"budget\[0\]\.limit.*?&quot;500&quot;.*?&quot;300&quot;", page, re.DOTALL)
    assert found
    assert "budget down" in page
    assert browser.get(f"/features/{feature.slug}/policy/?version=3&against=9").status_code == 404


def test_a_hostile_text_is_shown_as_text(stack: Stack, feature: Feature) -> None:
    browser = Browser(stack, lead_of(feature))
    text = '</textarea><script>alert(1)</script>\n[feature]\nslug = "<img src=x>"'
    browser.post(address(feature), {"text": text, "revision": "0", "act": "save"})
    page = browser.get(address(feature)).text
    assert "<script>alert" not in page
    assert "<img src=x>" not in page
