"""Verify an audit export: one file, Python's standard library and `cryptography`, no Django, no database.

    python verifier.py FILE --public-key FILE [--checkpoints FILE] [--receipts FILE]

FILE holds JSON lines, {"record": {...}} and {"checkpoint": {...}}, as `manage.py audit export` writes them.
The public key, the checkpoints and the receipts must come from outside of the installation: what the file
brings along proves nothing about itself. Exit status: 0 everything holds, 1 something was changed (the first
bad record is named, or the first that breaks a rule), 2 the input cannot be read.

What holds when it holds: no record up to the newest outside checkpoint, and none with an outside receipt, was
changed, removed, added or put elsewhere since that was handed out. Nothing is said about records after it.

Then what the records say is played again (`Meaning`): nothing ran without a permission that a decision or enough votes
gave, none was used twice, nobody voted on their own, nothing ran while the tools were off.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import struct
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

GENESIS = bytes(32)
_FIELDS = ("number", "at", "actor_kind", "actor", "session", "action", "feature", "subject_type", "subject")
_CONTEXT = b"clearance audit checkpoint v1\n"


class Unreadable(ValueError):
    """The input is not what it must be."""


class Tampered(Exception):
    """A record is not what it was. `number` is the first bad one, or the first of the range that holds it."""

    verdict = "NOT AS IT WAS"

    def __init__(self, number: int, why: str) -> None:
        super().__init__(f"record {number}: {why}")
        self.number = number
        self.why = why


class Broken(Tampered):
    """A record is as it was written, and says something that must never have been."""

    verdict = "BREAKS A RULE"


def record_hash(record: Mapping[str, Any]) -> bytes:
    """SHA-256 over the fields, each with its length (4 bytes, big endian) before it, the payload's hash and
    the previous record's hash.
    """
    digest = hashlib.sha256()
    for name in _FIELDS:
        value = str(record[name]).encode()
        digest.update(struct.pack(">i", len(value)) + value)
    digest.update(hashlib.sha256(record["payload"].encode()).digest())
    digest.update(bytes.fromhex(record["previous"]))
    return digest.digest()


# --- the Merkle tree of RFC 9162, 2.1 --------------------------------------------------------------------


def leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass
class Tree:
    """A tree that grows leaf by leaf and keeps only the roots of its full subtrees, the largest first."""

    size: int = 0
    _full: list[bytes] = field(default_factory=list)

    def add(self, data: bytes) -> None:
        node = leaf_hash(data)
        size = self.size
        while size & 1:
            node = node_hash(self._full.pop(), node)
            size >>= 1
        self._full.append(node)
        self.size += 1

    def grow_from(self, size: int, subtrees: list[str]) -> None:
        """Go on after `size` leaves, of which only the roots of the full subtrees are known."""
        self.size, self._full = size, [bytes.fromhex(one) for one in subtrees]

    def subtrees(self) -> list[str]:
        """The roots of the full subtrees, the largest first, hexadecimal."""
        return [one.hex() for one in self._full]

    def root(self) -> bytes:
        """The root hash; of no leaves the hash of nothing."""
        if not self._full:
            return hashlib.sha256(b"").digest()
        node = self._full[-1]
        for left in reversed(self._full[:-1]):
            node = node_hash(left, node)
        return node


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root over these leaves."""
    tree = Tree()
    for leaf in leaves:
        tree.add(leaf)
    return tree.root()


def inclusion_proof(leaves: list[bytes], index: int) -> list[bytes]:
    """The audit path of the leaf at `index` (from 0), its own level first (RFC 9162, 2.1.3.1)."""
    if len(leaves) <= 1:
        return []
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    if index < split:
        return [*inclusion_proof(leaves[:split], index), root_of(leaves[split:])]
    return [*inclusion_proof(leaves[split:], index - split), root_of(leaves[:split])]


def is_included(leaf: bytes, index: int, size: int, path: list[bytes], root: bytes) -> bool:
    """Whether the path proves that the leaf stands at `index` of a tree of `size` with this root
    (2.1.3.2).
    """
    if not 0 <= index < size:
        return False
    place, last, node = index, size - 1, leaf_hash(leaf)
    for step in path:
        if last == 0:
            return False
        if place & 1 or place == last:
            node = node_hash(step, node)
            while place and not place & 1:
                place >>= 1
                last >>= 1
        else:
            node = node_hash(node, step)
        place >>= 1
        last >>= 1
    return last == 0 and node == root


# --- checkpoints -----------------------------------------------------------------------------------------


def checkpoint_message(size: int, root: bytes, at: str) -> bytes:
    """What is signed: a fixed context, then size, root and time on a line each."""
    return _CONTEXT + f"{size}\n{root.hex()}\n{at}\n".encode()


def key_id(public: Ed25519PublicKey) -> str:
    """The first 16 hexadecimal digits of the key's SHA-256."""
    return hashlib.sha256(public.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


def is_signed(checkpoint: Mapping[str, Any], public: Ed25519PublicKey) -> bool:
    """Whether the checkpoint's signature is this key's."""
    message = checkpoint_message(checkpoint["size"], bytes.fromhex(checkpoint["root"]), checkpoint["at"])
    try:
        public.verify(bytes.fromhex(checkpoint["signature"]), message)
    except (InvalidSignature, ValueError):
        return False
    return True


# --- what the records mean -------------------------------------------------------------------------------


# A start that read "on" before the stop was committed may commit while it is drained: three tries of two seconds, then
# its session is ended.
_DRAIN_SECONDS = 10


@dataclass
class _Decision:
    feature: str
    epoch: int
    proposers: frozenset[str]
    revision: int = 1
    state: str = "pending"
    quorum: int = 0  # 0: no vote has said it yet
    editor: str = ""  # of this revision, where the edit was no tightening
    approvals: set[str] = field(default_factory=set)


@dataclass
class _Grant:
    decision: str
    revision: int
    epoch: int
    state: str = "ready"


class Meaning:
    """Plays decisions, votes, grants, executions and stops again, record by record, and keeps the first that cannot be.

    `whole`: the records begin with the first of all. If not, what was decided in the archive is not known here: its
    records are counted in `unknown`, and accused of nothing.
    """

    def __init__(self, *, whole: bool = True) -> None:
        self.whole = whole
        self.broken: Broken | None = None
        self.unknown = 0
        self._decisions: dict[str, _Decision] = {}
        self._drafts: dict[
            str, bool
        ] = {}  # decision that was kept as a draft -> whether a person proposed it
        self._asked: dict[str, str] = {}  # request -> decision
        self._grants: dict[str, _Grant] = {}
        self._stops: dict[str, str] = {}  # stop in force -> feature; empty: everything
        self._epochs: dict[str, int] = {}  # feature -> the newest epoch that a decision names
        self._floors: dict[str, int] = {}  # feature -> the oldest epoch that may still run
        self._starts: dict[str, list[tuple[str, int]]] = {}  # feature -> (at, number) of its executions

    def read(self, record: Mapping[str, Any]) -> None:
        """Take the next record; what is wrong with it stands in `broken`."""
        reader = _READERS.get(record["action"])
        if reader is None or self.broken is not None:
            return
        try:
            reader(self, record, json.loads(record["payload"]))
        except Broken as error:
            self.broken = error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self.broken = Broken(record["number"], f"its payload is none of {record['action']} ({error})")

    def decision_made(self, record: Mapping[str, Any], said: Mapping[str, Any]) -> None:
        must, answer = _Must(record), said["answer"]
        must(record["subject"] not in self._decisions, "the decision was made already")
        must(said["grant"] is None or answer == "allow", f"a decision to {answer} gives a grant")
        must(said["request"] is None or answer == "needs_approval", f"a decision to {answer} asks people")
        feature = record["feature"]
        self._epochs[feature] = max(said["epoch"], self._epochs.get(feature, 0))
        if answer == "deny":
            if said.get("codes") == ["draft"]:
                self._drafts[record["subject"]] = False
            return
        proposers = frozenset(said.get("proposers") or ())
        self._of_draft(must, record, said.get("draft"), answer, proposers)
        self._decisions[record["subject"]] = _Decision(feature, said["epoch"], proposers)
        if said["grant"] is not None:
            self._give(must, said["grant"], record["subject"])
        if said["request"] is not None:
            must(said["request"] not in self._asked, "the request was made already")
            self._asked[said["request"]] = record["subject"]

    def _of_draft(
        self,
        must: _Must,
        record: Mapping[str, Any],
        draft: str | None,
        answer: str,
        proposers: frozenset[str],
    ) -> None:
        """A person proposes what was kept as a draft, once, and is one of its proposers."""
        must(
            (draft is None) == (record["actor_kind"] != "person"),
            "a person proposes a draft and nothing else",
        )
        if draft is None:
            return
        must(answer == "needs_approval", "what a person proposed needs another's approval")
        must(record["actor"] in proposers, "who proposed it is not among its proposers")
        must(draft in self._drafts or not self.whole, "it is of no draft")
        must(not self._drafts.get(draft, False), "the draft was proposed already")
        self._drafts[draft] = True

    def vote_cast(self, record: Mapping[str, Any], said: Mapping[str, Any]) -> None:
        must, who = _Must(record), record["actor"]
        must(record["actor_kind"] in ("person", "operator"), "no person cast this vote")
        decision = self._of_request(must, record)
        if decision is None:
            return
        must(
            said["decision"] == self._asked[record["subject"]],
            "the vote names another decision than its request's",
        )
        must(decision.state == "pending", f"the request was {decision.state} already")
        must(
            said["revision"] == decision.revision,
            f"the vote is on revision {said['revision']}, not on the one shown",
        )
        must(who not in decision.proposers, "the voter is one of its proposers")
        must(who != decision.editor, "the voter wrote this revision")
        must(who not in decision.approvals, "the same person voted on this revision already")
        must(decision.quorum in (0, said["quorum"]), "the quorum changed")
        decision.quorum, decision.state = said["quorum"], said["state"]
        approves = said["vote"] == "approve"
        if approves:
            decision.approvals.add(who)
        must(
            (said["state"] == "approved") == (said["grant"] is not None),
            "approved and granted are not the same",
        )
        must(approves or said["state"] == "rejected", f"a rejection left it {said['state']}")
        if said["grant"] is not None:
            must(approves, "a rejection gives a grant")
            votes = len(decision.approvals)
            must(votes >= said["quorum"], f"{votes} of {said['quorum']} approvals give a grant")
            self._give(must, said["grant"], said["decision"])

    def vote_taken_back(self, record: Mapping[str, Any], said: Mapping[str, Any]) -> None:
        must = _Must(record)
        decision = self._of_request(must, record)
        if decision is not None:
            must(record["actor"] in decision.approvals, "a vote is taken back that was not cast")
            decision.approvals.discard(record["actor"])
            decision.state = "pending"
        if said["grant"] is not None:
            self._end(must, said["grant"], "revoked")

    def request_edited(self, record: Mapping[str, Any], said: Mapping[str, Any]) -> None:
        must = _Must(record)
        decision = self._of_request(must, record)
        if decision is None:
            return
        must(decision.state == "pending", f"the request was {decision.state} already")
        must(said["revision"] == decision.revision + 1, "the revisions are not in their order")
        decision.revision = said["revision"]
        decision.editor = "" if said["tighter"] else record["actor"]
        decision.approvals = set()

    def request_ended(self, record: Mapping[str, Any], said: Mapping[str, Any]) -> None:
        must = _Must(record)
        decision = self._of_request(must, record)
        if decision is not None:
            must(decision.state == "pending", f"the request was {decision.state} already")
            decision.state = said["state"]

    def grant_ended(self, record: Mapping[str, Any], said: Mapping[str, Any]) -> None:
        self._end(_Must(record), record["subject"], said["state"])

    def execution_started(self, record: Mapping[str, Any], said: Mapping[str, Any]) -> None:
        must, feature = _Must(record), record["feature"]
        stopped = [stop for stop, of in self._stops.items() if of in ("", feature)]
        must(not stopped, "it ran while the tools were off")
        fresh = said["epoch"] >= self._floors.get(feature, 0)
        must(fresh, "it was permitted before a stop, a restore or another policy, and ran after")
        self._starts.setdefault(feature, []).append((record["at"], record["number"]))
        grant = self._grants.get(said["grant"])
        if grant is None:
            must(not self.whole, "no decision and no quorum gave its grant")
            self.unknown += 1
            # From here on it is known, and used up.
            self._grants[said["grant"]] = _Grant(
                said["decision"], said["revision"], said["epoch"], "consumed"
            )
            return
        must(grant.state != "consumed", "its grant was used already")
        must(grant.state == "ready", f"its grant was {grant.state}")
        must(said["decision"] == grant.decision, "its grant is another decision's")
        must(said["epoch"] == grant.epoch, "its grant is of another epoch")
        must(said["revision"] == grant.revision, "its grant is of another revision")
        grant.state = "consumed"
        decision = self._decisions.get(grant.decision)
        if decision is not None:
            must(feature == decision.feature, "its decision is another feature's")
            must(said["revision"] == decision.revision, "it was edited since the grant")

    def tools_stopped(self, record: Mapping[str, Any], said: Mapping[str, Any]) -> None:
        self.epoch_raised(record, said)
        if said["scope"] == "action":
            return  # which action is not in the record
        feature = "" if said["scope"] == "everything" else record["feature"]
        latest = _seconds(said["at"]) + _DRAIN_SECONDS
        late = [
            number
            for of, starts in self._starts.items()
            if feature in ("", of)
            for at, number in _after_time(starts, latest)
        ]
        if late:
            raise Broken(min(late), f"it ran after the tools were off, as record {record['number']} says")
        self._stops[record["subject"]] = feature

    def tools_restored(self, record: Mapping[str, Any], said: Mapping[str, Any]) -> None:
        must = _Must(record)
        must(record["actor_kind"] in ("person", "operator"), "no person switched the tools on again")
        self.epoch_raised(record, said)
        if said["scope"] != "action":
            must(not self.whole or record["subject"] in self._stops, "a stop ends that was not made")
            self._stops.pop(record["subject"], None)

    def epoch_raised(self, record: Mapping[str, Any], said: Mapping[str, Any]) -> None:
        """What was decided before is worth nothing from here on."""
        of = record["feature"]
        for feature in [of] if of else list(self._epochs):
            self._floors[feature] = self._epochs.get(feature, 0) + 1

    def _of_request(self, must: _Must, record: Mapping[str, Any]) -> _Decision | None:
        """The decision that a request belongs to; None: it was made in the archive."""
        known = self._decisions.get(self._asked.get(record["subject"], ""))
        if known is None:
            must(not self.whole, "no decision made its request")
            self.unknown += 1
        return known

    def _give(self, must: _Must, grant: str, decision: str) -> None:
        known = self._decisions[decision]
        must(grant not in self._grants, "the grant was given already")
        self._grants[grant] = _Grant(decision, known.revision, known.epoch)

    def _end(self, must: _Must, grant: str, state: str) -> None:
        known = self._grants.get(grant)
        if known is None:
            must(not self.whole, "a grant ends that nobody gave")
            self.unknown += 1
            return
        must(known.state == "ready", f"the grant was {known.state} already")
        known.state = state


class _Must:
    """Raises Broken, naming one record, where something does not hold."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        self._number = int(record["number"])

    def __call__(self, holds: bool, why: str) -> None:
        if not holds:
            raise Broken(self._number, why)


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp()


def _after_time(starts: list[tuple[str, int]], seconds: float) -> Iterator[tuple[str, int]]:
    """Those at the end of the list that are later; the records' times never fall."""
    for at, number in reversed(starts):
        if _seconds(at) <= seconds:
            return
        yield at, number


_READERS = {
    "decision.made": Meaning.decision_made,
    "vote.cast": Meaning.vote_cast,
    "vote.taken_back": Meaning.vote_taken_back,
    "request.edited": Meaning.request_edited,
    "request.ended": Meaning.request_ended,
    "grant.ended": Meaning.grant_ended,
    "execution.started": Meaning.execution_started,
    "policy.activated": Meaning.epoch_raised,
    "tools.stopped": Meaning.tools_stopped,
    "tools.restored": Meaning.tools_restored,
}


# --- verifying -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """How far the record was proven."""

    records: int
    checkpoints: int
    outside: int  # the size of the newest checkpoint from outside, 0 without one
    unknown: int = 0  # records about what was decided in the archive before: what they mean cannot be checked


def verify(
    records: Iterable[Mapping[str, Any]],
    public: Ed25519PublicKey,
    inside: Iterable[Mapping[str, Any]] = (),
    outside: Iterable[Mapping[str, Any]] = (),
    receipts: Iterable[Mapping[str, Any]] = (),
    archived: Mapping[str, Any] | None = None,
) -> Verdict:
    """Check chain, numbers, roots, signatures and receipts, then what the records mean. Raises Tampered, naming the
    first bad record, and Broken, naming the first that breaks a rule of `Meaning`.

    `archived` says that the records begin after those of an archive: its "size", the "hash" and time "at" of its last
    record and the roots of its "subtrees", hexadecimal. It counts only if a signed checkpoint of that size has the
    root that the subtrees give; what a checkpoint or receipt says of the archive's inside is left to the archive.
    """
    pinned = {checkpoint["size"]: checkpoint for checkpoint in outside}
    stored = {checkpoint["size"]: checkpoint for checkpoint in inside}
    for size, checkpoint in sorted(pinned.items()):
        if not is_signed(checkpoint, public):
            raise Tampered(size, f"the outside checkpoint of {size} records is not signed by the pinned key")
    sizes = frozenset(pinned)
    promised = {receipt["number"]: receipt["hash"] for receipt in receipts}
    tree = Tree()
    meaning = Meaning(whole=archived is None)
    previous, latest, proven = GENESIS, "", 0
    if archived is not None:
        tree, previous, latest = _after(archived, [*pinned.values(), *stored.values()], public)
        proven = tree.size if tree.size in pinned else 0
        for held in (pinned, stored, promised):
            for number in [number for number in held if number <= tree.size]:
                del held[number]
    for record in records:
        number = tree.size + 1
        try:
            claimed = record_hash(record)
            matches = bytes.fromhex(record["hash"]) == claimed
            follows = bytes.fromhex(record["previous"]) == previous
        except (KeyError, ValueError, TypeError, AttributeError, struct.error) as error:
            raise Tampered(number, f"it is malformed ({error})") from error
        if record["number"] != number:
            raise Tampered(number, f"number {record['number']} stands in its place")
        if not follows:
            raise Tampered(number, "it does not follow the record before it")
        if not matches:
            raise Tampered(number, "its content does not give its hash")
        if record["at"] < latest:
            # The database never writes one so: the chain was made anew from somewhere on.
            raise Tampered(proven + 1, f"record {number} is older than the one before it")
        if promised.pop(number, record["hash"]) != record["hash"]:
            raise Tampered(proven + 1, f"the receipt for record {number} names another hash")
        tree.add(claimed)
        meaning.read(record)
        previous, latest = claimed, record["at"]
        for whose, held in (("outside", pinned), ("stored", stored)):
            if number in held:
                _check(held.pop(number), whose, tree, proven + 1, public)
        if number in sizes:
            proven = number
    if missing := sorted({*pinned, *promised, *stored}):
        why = f"it is missing; a checkpoint or receipt shows that there were {missing[-1]} records"
        raise Tampered(tree.size + 1, why)
    if meaning.broken is not None:
        raise meaning.broken
    return Verdict(tree.size, len(stored), proven, meaning.unknown)


def _after(
    archived: Mapping[str, Any], checkpoints: list[Mapping[str, Any]], public: Ed25519PublicKey
) -> tuple[Tree, bytes, str]:
    """(the tree over an archive, its last record's hash and time). Raises Tampered without a signed checkpoint."""
    size = int(archived["size"])
    tree = Tree()
    tree.grow_from(size, archived["subtrees"])
    root = tree.root().hex() if len(archived["subtrees"]) == size.bit_count() else ""
    if not any(one["size"] == size and one["root"] == root and is_signed(one, public) for one in checkpoints):
        raise Tampered(1, f"no signed checkpoint covers the {size} archived records")
    return tree, bytes.fromhex(archived["hash"]), str(archived["at"])


def verify_archive(path: str, public: Ed25519PublicKey) -> dict[str, Any]:
    """Verify an archive's file and return what has to be known of it, so that the records after it can be verified:
    {"size", "hash", "at", "subtrees"}. Raises Tampered and Unreadable.
    """
    before = next((line["archived"] for line in _lines(path) if "archived" in line), None)
    inside = [line["checkpoint"] for line in _lines(path) if "checkpoint" in line]
    verify((line["record"] for line in _lines(path) if "record" in line), public, inside, archived=before)
    tree, last = Tree(), None
    if before:
        tree.grow_from(before["size"], before["subtrees"])
    for line in _lines(path):
        if "record" in line:
            last = line["record"]
            tree.add(bytes.fromhex(last["hash"]))
    if last is None:
        raise Unreadable(f"{path}: it holds no record")
    return {"size": tree.size, "hash": last["hash"], "at": last["at"], "subtrees": tree.subtrees()}


def _check(
    checkpoint: Mapping[str, Any], whose: str, tree: Tree, first: int, public: Ed25519PublicKey
) -> None:
    """Raises Tampered, naming the first record that no outside checkpoint proved before."""
    if not is_signed(checkpoint, public):
        raise Tampered(
            first, f"the {whose} checkpoint of {tree.size} records is not signed by the pinned key"
        )
    if bytes.fromhex(checkpoint["root"]) != tree.root():
        raise Tampered(first, f"the records up to {tree.size} are not those of the {whose} checkpoint")


def prove(proof: Mapping[str, Any], public: Ed25519PublicKey) -> int:
    """Check that a record stood where its proof says, under a signed checkpoint; returns the record's number. A proof
    is {"record", "path": [hexadecimal], "checkpoint"}, as the audit page gives it. Raises Tampered.
    """
    record, checkpoint = proof["record"], proof["checkpoint"]
    number = int(record["number"])
    if not is_signed(checkpoint, public):
        raise Tampered(number, "its checkpoint is not signed by the pinned key")
    claimed = record_hash(record)
    if bytes.fromhex(record["hash"]) != claimed:
        raise Tampered(number, "its content does not give its hash")
    path = [bytes.fromhex(step) for step in proof["path"]]
    if not is_included(claimed, number - 1, checkpoint["size"], path, bytes.fromhex(checkpoint["root"])):
        raise Tampered(number, "the checkpoint does not include it")
    return number


# --- the command line ------------------------------------------------------------------------------------


def _lines(path: str) -> Iterator[dict[str, Any]]:
    with open(path, encoding="utf-8") as file:
        for n, line in enumerate(file, 1):
            if line.strip():
                try:
                    found = json.loads(line)
                except ValueError as error:
                    raise Unreadable(f"{path}, line {n}: no JSON") from error
                if not isinstance(found, dict):
                    raise Unreadable(f"{path}, line {n}: no object")
                yield found


def read_public_key(path: str) -> Ed25519PublicKey:
    """An Ed25519 public key in PEM. Raises Unreadable."""
    try:
        found = load_pem_public_key(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise Unreadable(f"{path}: no public key ({error})") from error
    if not isinstance(found, Ed25519PublicKey):
        raise Unreadable(f"{path}: no Ed25519 key")
    return found


def read_list(path: str | None, name: str) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines, bare or under `name`."""
    return [line.get(name, line) for line in _lines(path)] if path else []


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Verify an audit export, offline.")
    parser.add_argument("file", nargs="?", help="what `manage.py audit export` wrote")
    parser.add_argument("--proof", help="the proof of one record, as the audit page gives it")
    parser.add_argument("--public-key", required=True, help="the pinned Ed25519 public key, PEM")
    parser.add_argument("--checkpoints", help="checkpoints kept outside, JSON lines")
    parser.add_argument("--receipts", help="receipts kept outside, JSON lines with number and hash")
    given = parser.parse_args(arguments)
    try:
        public = read_public_key(given.public_key)
        if given.proof:
            number = prove(json.loads(Path(given.proof).read_text(encoding="utf-8")), public)
            print(f"record {number} stood there when the checkpoint was signed")
            return 0
        if not given.file:
            parser.error("name the export, or a proof with --proof")
        inside = [line["checkpoint"] for line in _lines(given.file) if "checkpoint" in line]
        records = (line["record"] for line in _lines(given.file) if "record" in line)
        archived = next((line["archived"] for line in _lines(given.file) if "archived" in line), None)
        outside = read_list(given.checkpoints, "checkpoint")
        receipts = read_list(given.receipts, "receipt")
        verdict = verify(records, public, inside, outside, receipts, archived)
    except Tampered as error:
        print(f"{error.verdict}: {error}", file=sys.stderr)
        print(error.number)
        return 1
    except (OSError, Unreadable, KeyError, TypeError, ValueError) as error:
        print(f"cannot be read: {error}", file=sys.stderr)
        return 2
    print(said(verdict))
    return 0


def said(verdict: Verdict) -> str:
    """The verdict in words, with what it does not say."""
    meant = "What they say of decisions, votes, executions and stops agrees"
    meant += (
        f", but for {verdict.unknown} records about what was decided in the archive."
        if verdict.unknown
        else "."
    )
    if not verdict.outside:
        whole = f"{verdict.records} records are whole in themselves"
        return f"{whole}; no outside checkpoint was given, so a new chain would pass. {meant}"
    rest = verdict.records - verdict.outside
    signed = f"{verdict.outside} records are as they were signed"
    return f"{signed}; {rest} came after the newest outside checkpoint. {meant}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
