"""The verifier: RFC 9162's tree, and no tampering of what was signed outside that it does not find
and name.
"""

import hashlib
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from audit import verifier
from tests.support import ROOT

KEY = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"\x08" * 32)
Record = dict[str, Any]


def by_definition(leaves: list[bytes]) -> bytes:
    """The root as RFC 9162, 2.1.1 defines it."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + by_definition(leaves[:k]) + by_definition(leaves[k:])).digest()


@given(st.lists(st.binary(max_size=4), max_size=40))
def test_the_root_is_that_of_the_definition(leaves: list[bytes]) -> None:
    assert verifier.root_of(leaves) == by_definition(leaves)


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=40), st.data())
def test_a_proof_proves_its_leaf_at_its_place_and_nothing_else(
    leaves: list[bytes], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    path = verifier.inclusion_proof(leaves, index)
    root = verifier.root_of(leaves)
    assert verifier.is_included(leaves[index], index, len(leaves), path, root)
    assert not verifier.is_included(leaves[index] + b"x", index, len(leaves), path, root)
    assert not verifier.is_included(leaves[index], len(leaves), len(leaves), path, root)
    if path:
        assert not verifier.is_included(leaves[index], index, len(leaves), path[:-1], root)


def chained(records: list[Record], start: int = 0) -> list[Record]:
    """The records numbered and hashed anew from a place on: what somebody with the database in hand
    can do.
    """
    made = [dict(record) for record in records[:start]]
    previous = made[-1]["hash"] if made else verifier.GENESIS.hex()
    for n, record in enumerate(records[start:], start + 1):
        fresh = {**record, "number": n, "previous": previous}
        fresh["hash"] = verifier.record_hash(fresh).hex()
        previous = fresh["hash"]
        made.append(fresh)
    return made


def record(n: int) -> Record:
    return {
        "number": n,
        "at": f"2026-11-24T09:00:00.{n:06d}Z",
        "actor_kind": "person",
        "actor": f"p{n % 5}",
        "session": "",
        "action": "key.made",
        "feature": f"f{n % 3}",
        "subject_type": "key",
        "subject": f"k{n}",
        "payload": json.dumps({"n": n}),
    }


def checkpoint(records: list[Record], size: int, key: Ed25519PrivateKey = KEY) -> dict[str, Any]:
    root = verifier.root_of(bytes.fromhex(one["hash"]) for one in records[:size])
    at = f"2026-11-24T10:00:{size % 60:02d}Z"
    signature = key.sign(verifier.checkpoint_message(size, root, at))
    return {"size": size, "root": root.hex(), "at": at, "key_id": "", "signature": signature.hex()}


LOG = chained([record(n) for n in range(1, 81)])
OUTSIDE = [checkpoint(LOG, 20), checkpoint(LOG, 50)]
RECEIPTS = [{"number": n, "hash": LOG[n - 1]["hash"]} for n in (7, 33, 61, 72)]


def check(
    records: list[Record], inside: Any = (), outside: Any = OUTSIDE, receipts: Any = RECEIPTS
) -> verifier.Verdict:
    return verifier.verify(records, KEY.public_key(), inside, outside, receipts)


def test_an_untouched_record_is_never_blamed() -> None:
    chance = random.Random(1)
    for _ in range(100):
        size = chance.randrange(1, 81)
        records = LOG[:size]
        outside = [checkpoint(records, chance.randrange(1, size + 1)) for _ in range(2)]
        receipts = [{"number": n, "hash": LOG[n - 1]["hash"]} for n in chance.sample(range(1, size + 1), 1)]
        verdict = check(records, [checkpoint(records, size)], outside, receipts)
        assert verdict.records == size
        assert verdict.outside == max(one["size"] for one in outside)


# Each: (the changed log, the first record that is not what it was). Only records up to 50 are under a
# checkpoint.
Tampering = Callable[[random.Random], tuple[list[Record], int]]


def change(chance: random.Random) -> tuple[list[Record], int]:
    n = chance.randrange(1, 51)
    name = chance.choice(["actor", "action", "feature", "subject", "payload", "session", "at"])
    records = [dict(one) for one in LOG]
    records[n - 1][name] += "0"
    return records, n


def change_and_chain_anew(chance: random.Random) -> tuple[list[Record], int]:
    records, n = change(chance)
    if any(one["at"].endswith("Z0") for one in records):
        records[n - 1]["at"] = LOG[n - 1]["at"]
        records[n - 1]["actor"] += "0"
    return chained(records, n - 1), n


def remove(chance: random.Random) -> tuple[list[Record], int]:
    n = chance.randrange(1, 51)
    records = LOG[: n - 1] + LOG[n:]
    return (chained(records, n - 1) if chance.random() < 0.5 else records), n


def insert(chance: random.Random) -> tuple[list[Record], int]:
    n = chance.randrange(1, 51)
    records = [*LOG[: n - 1], {**LOG[n - 1], "actor": "nobody"}, *LOG[n - 1 :]]
    return (chained(records, n - 1) if chance.random() < 0.5 else records), n


def swap(chance: random.Random) -> tuple[list[Record], int]:
    n = chance.randrange(1, 50)
    records = [*LOG[: n - 1], LOG[n], LOG[n - 1], *LOG[n + 1 :]]
    return (chained(records, n - 1) if chance.random() < 0.5 else records), n


def truncate(chance: random.Random) -> tuple[list[Record], int]:
    kept = chance.randrange(0, 72)  # the receipt for 72 shows that it was there
    return LOG[:kept], kept + 1


TAMPERINGS: list[Tampering] = [change, change_and_chain_anew, remove, insert, swap, truncate]


def test_a_thousand_tamperings_are_all_found_and_none_is_named_too_late() -> None:
    chance = random.Random(26)
    proven = (1, 7, 20, 33, 50)  # the first record, and what checkpoints and receipts pin
    for n in range(1000):
        tampering = TAMPERINGS[n % len(TAMPERINGS)]
        records, first = tampering(chance)
        with pytest.raises(verifier.Tampered) as found:
            check(records)
        named = found.value.number
        # A new chain hides where it begins, never that it begins after the last proven record.
        assert named <= first, (tampering.__name__, n)
        assert any(low <= named for low in proven)
        if tampering is truncate:
            assert named == first


def test_a_log_signed_with_another_key_is_found() -> None:
    forged = chained([{**one, "actor": "nobody"} for one in LOG])
    with pytest.raises(verifier.Tampered):
        check(forged, [checkpoint(forged, 80, OTHER)], [], [])
    with pytest.raises(verifier.Tampered):
        check(LOG, [], [checkpoint(LOG, 20, OTHER)], [])
    replaced = [{**checkpoint(LOG, 40), "root": "00" * 32}]
    with pytest.raises(verifier.Tampered):
        check(LOG, replaced)


def test_what_came_after_the_outside_checkpoint_is_not_claimed() -> None:
    verdict = check(LOG)
    assert (verdict.records, verdict.outside) == (80, 50)
    assert "30 came after" in verifier.said(verdict)
    assert "a new chain would pass" in verifier.said(check(LOG, outside=[], receipts=[]))


def test_the_verifier_runs_alone_without_django(tmp_path: Path) -> None:
    shutil.copy(ROOT / "audit" / "verifier.py", tmp_path / "verifier.py")
    pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(pem)
    lines = [{"record": one} for one in LOG] + [{"checkpoint": checkpoint(LOG, 80)}]
    (tmp_path / "export").write_text("\n".join(map(json.dumps, lines)))
    (tmp_path / "outside").write_text("\n".join(map(json.dumps, OUTSIDE)))
    (tmp_path / "receipts").write_text("\n".join(map(json.dumps, RECEIPTS)))
    blocked = (
        "import runpy, sys; sys.modules['django'] = None; sys.argv = sys.argv[1:]; "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *(sys.executable, "-I", "-c", blocked, "verifier.py", "export", "--public-key", "key.pem"),
                *("--checkpoints", "outside", "--receipts", "receipts"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )

    good = run()
    assert (good.returncode, good.stderr) == (0, "")
    (tmp_path / "export").write_text((tmp_path / "export").read_text().replace('"k12"', '"k13"'))
    bad = run()
    assert (bad.returncode, bad.stdout.strip()) == (1, "12")
    (tmp_path / "export").write_text("no json")
    assert run().returncode == 2


@pytest.mark.parametrize("broken", [{}, {"number": 1}, {**LOG[0], "hash": "zz"}, {**LOG[0], "payload": 3}])
def test_a_malformed_record_is_named_not_a_crash(broken: Record) -> None:
    with pytest.raises(verifier.Tampered) as found:
        check([broken], outside=[], receipts=[])
    assert found.value.number == 1
