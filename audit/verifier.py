"""Verify an audit export: one file, Python's standard library and `cryptography`, no Django, no database.

    python verifier.py FILE --public-key FILE [--checkpoints FILE] [--receipts FILE]

FILE holds JSON lines, {"record": {...}} and {"checkpoint": {...}}, as `manage.py audit export` writes them.
The public key, the checkpoints and the receipts must come from outside of the installation: what the file
brings along proves nothing about itself. Exit status: 0 everything holds, 1 something was changed (the first
bad record is named), 2 the input cannot be read.

What holds when it holds: no record up to the newest outside checkpoint, and none with an outside receipt, was
changed, removed, added or put elsewhere since that was handed out. Nothing is said about records after it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import struct
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
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

    def __init__(self, number: int, why: str) -> None:
        super().__init__(f"record {number}: {why}")
        self.number = number
        self.why = why


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


# --- verifying -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """How far the record was proven."""

    records: int
    checkpoints: int
    outside: int  # the size of the newest checkpoint from outside, 0 without one


def verify(
    records: Iterable[Mapping[str, Any]],
    public: Ed25519PublicKey,
    inside: Iterable[Mapping[str, Any]] = (),
    outside: Iterable[Mapping[str, Any]] = (),
    receipts: Iterable[Mapping[str, Any]] = (),
    archived: Mapping[str, Any] | None = None,
) -> Verdict:
    """Check chain, numbers, roots, signatures and receipts. Raises Tampered, naming the first bad record.

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
        previous, latest = claimed, record["at"]
        for whose, held in (("outside", pinned), ("stored", stored)):
            if number in held:
                _check(held.pop(number), whose, tree, proven + 1, public)
        if number in sizes:
            proven = number
    if missing := sorted({*pinned, *promised, *stored}):
        why = f"it is missing; a checkpoint or receipt shows that there were {missing[-1]} records"
        raise Tampered(tree.size + 1, why)
    return Verdict(tree.size, len(stored), proven)


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
        print(f"NOT AS IT WAS: {error}", file=sys.stderr)
        print(error.number)
        return 1
    except (OSError, Unreadable, KeyError, TypeError, ValueError) as error:
        print(f"cannot be read: {error}", file=sys.stderr)
        return 2
    print(said(verdict))
    return 0


def said(verdict: Verdict) -> str:
    """The verdict in words, with what it does not say."""
    if not verdict.outside:
        whole = f"{verdict.records} records are whole in themselves"
        return f"{whole}; no outside checkpoint was given, so a new chain would pass."
    rest = verdict.records - verdict.outside
    signed = f"{verdict.outside} records are as they were signed"
    return f"{signed}; {rest} came after the newest outside checkpoint."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
