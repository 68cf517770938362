"""Where checkpoints go: outside of this machine, where whoever owns it cannot take them back; and what is kept there,
read back where the place allows it.

Each sink is a URL; several, separated by commas, in CLEARANCE_AUDIT_SINKS:
`s3://bucket/prefix?endpoint=https://...&lock_days=3650&read=yes` (credentials as boto3 finds them), `syslog://host:514?transport=tcp`,
`https://host/path` (a webhook), `file:///path`. A local file is a convenience, not a sink: who can change the record
can change it too.
"""

import hashlib
import hmac
import json
import os
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import boto3
import botocore.config
import msgspec
import requests

_SECONDS = 15
_BLOCK = 65536
# RFC 5424: facility 13 (log audit), severity 6 (informational).
_PRIORITY = 13 * 8 + 6


class Kept(msgspec.Struct, frozen=True):
    """A checkpoint that a sink keeps: over how many records, what tells it from another one over as many, and the way
    to its root, hexadecimal.
    """

    size: int
    mark: str
    root: Callable[[], str]


class Sink(Protocol):
    """A place for checkpoints. `name` says which, without secrets."""

    @property
    def name(self) -> str: ...

    @property
    def outside(self) -> bool:
        """Whether it is out of reach of whoever owns this machine."""

    def send(self, checkpoint: dict[str, Any]) -> None:
        """Hand the checkpoint over. Raises whatever the way there raises."""

    @property
    def readable(self) -> bool:
        """Whether what it keeps can be read back from here."""

    def kept(self, after: int) -> Iterator[Kept]:
        """What it keeps over more than `after` records, every version of it. Raises whatever the way there raises."""


class FileSink(msgspec.Struct, frozen=True):
    """JSON lines, appended to."""

    path: str
    outside: bool = False
    readable: bool = True

    @property
    def name(self) -> str:
        return f"file {self.path}"

    def send(self, checkpoint: dict[str, Any]) -> None:
        with Path(self.path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(checkpoint) + "\n")

    def kept(self, after: int) -> Iterator[Kept]:
        """The newest first, and no further back than the first that is not wanted."""
        for line in _lines_backwards(Path(self.path)):
            try:
                found = msgspec.json.decode(line, type=_Line)
            except msgspec.DecodeError:
                continue  # a line that was cut when the machine went down
            if found.size <= after:
                return
            yield Kept(found.size, found.root, lambda found=found: found.root)  # type: ignore[misc]


class _Line(msgspec.Struct, frozen=True):
    size: int
    root: str


def _lines_backwards(path: Path) -> Iterator[bytes]:
    if not path.exists():
        return
    with path.open("rb") as file:
        end, tail = file.seek(0, os.SEEK_END), b""
        while end:
            start = max(0, end - _BLOCK)
            file.seek(start)
            first, *lines = (file.read(end - start) + tail).split(b"\n")
            yield from (line for line in reversed(lines) if line)
            end, tail = start, first
        if tail:
            yield tail


class SyslogSink(msgspec.Struct, frozen=True):
    """A message of RFC 5424 by UDP, or by TCP with its length before it (RFC 6587, 3.4.1)."""

    host: str
    port: int
    transport: str
    outside: bool = True
    readable: bool = False

    @property
    def name(self) -> str:
        return f"syslog {self.transport} {self.host}:{self.port}"

    def send(self, checkpoint: dict[str, Any]) -> None:
        at = datetime.now(UTC).isoformat()
        line = f"<{_PRIORITY}>1 {at} {socket.gethostname()} clearance - checkpoint - {json.dumps(checkpoint)}".encode()
        if self.transport == "udp":
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
                out.sendto(line, (self.host, self.port))
            return
        with socket.create_connection((self.host, self.port), timeout=_SECONDS) as connection:
            connection.sendall(f"{len(line)} ".encode() + line)

    def kept(self, after: int) -> Iterator[Kept]:
        """Nothing can be read back from here."""
        return iter(())


class WebhookSink(msgspec.Struct, frozen=True):
    """A POST of the checkpoint; with a secret, its HMAC-SHA256 in `X-Clearance-Signature: sha256=...`."""

    url: str
    secret: str
    outside: bool = True
    readable: bool = False

    @property
    def name(self) -> str:
        parts = urlsplit(self.url)
        return f"webhook {parts.hostname}{parts.path}"

    def send(self, checkpoint: dict[str, Any]) -> None:
        body = json.dumps(checkpoint).encode()
        headers = {"Content-Type": "application/json"}
        if self.secret:
            digest = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
            headers["X-Clearance-Signature"] = f"sha256={digest}"
        answer = requests.post(self.url, data=body, headers=headers, timeout=_SECONDS, allow_redirects=False)
        if not 200 <= answer.status_code < 300:
            raise OSError(f"it answered {answer.status_code}")

    def kept(self, after: int) -> Iterator[Kept]:
        """Nothing can be read back from here."""
        return iter(())


class S3Sink(msgspec.Struct, frozen=True):
    """An object a checkpoint, locked in compliance mode: not even the bucket's owner removes it before its day."""

    bucket: str
    prefix: str
    endpoint: str
    lock_days: int
    readable: bool = True
    outside: bool = True

    @property
    def name(self) -> str:
        return f"s3 {self.bucket}/{self.prefix}".rstrip("/")

    def send(self, checkpoint: dict[str, Any]) -> None:
        self._client().put_object(
            Bucket=self.bucket,
            Key=self._key(checkpoint["size"]),
            Body=json.dumps(checkpoint).encode(),
            ContentType="application/json",
            ObjectLockMode="COMPLIANCE",
            ObjectLockRetainUntilDate=datetime.now(UTC).replace(microsecond=0)
            + timedelta(days=self.lock_days),
        )

    def kept(self, after: int) -> Iterator[Kept]:
        """Every version: who writes over an object cannot hide the one that is locked below it."""
        client = self._client()
        start = {"KeyMarker": self._key(after)} if after else {}
        pages = client.get_paginator("list_object_versions").paginate(
            Bucket=self.bucket, Prefix=self._folder, **start
        )
        for page in pages:
            for one in page.get("Versions", []):
                size = one["Key"].removeprefix(self._folder).removesuffix(".json")
                if size.isascii() and size.isdigit() and int(size) > after:
                    version = {"Key": one["Key"], "VersionId": one["VersionId"]}
                    yield Kept(int(size), f"{one['VersionId']} {one['ETag']}", self._reader(client, version))

    def _reader(self, client: Any, version: dict[str, str]) -> Callable[[], str]:
        def root() -> str:
            body = client.get_object(Bucket=self.bucket, **version)["Body"].read(_BLOCK)
            try:
                return msgspec.json.decode(body, type=_Line).root
            except msgspec.DecodeError:
                return ""  # no checkpoint of any record

        return root

    @property
    def _folder(self) -> str:
        return f"{self.prefix}{'/' if self.prefix else ''}checkpoints/"

    def _key(self, size: int) -> str:
        """In the order of their sizes when listed."""
        return f"{self._folder}{size:020d}.json"

    def _client(self) -> Any:
        quick = botocore.config.Config(
            connect_timeout=_SECONDS, read_timeout=_SECONDS, retries={"max_attempts": 2}
        )
        return boto3.client("s3", endpoint_url=self.endpoint or None, config=quick)


def sinks_from(urls: list[str], webhook_secret: str) -> list[Sink]:
    """The sinks that the URLs name. ValueError names the variable and the part that is wrong."""
    found = [_sink(url.strip(), webhook_secret) for url in urls if url.strip()]
    if len({sink.name for sink in found}) != len(found):
        raise ValueError("CLEARANCE_AUDIT_SINKS names one sink twice")
    return found


def _sink(url: str, secret: str) -> Sink:
    parts = urlsplit(url)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    wrong = ValueError(
        f"CLEARANCE_AUDIT_SINKS: {parts.scheme}://{parts.hostname or ''}{parts.path} is no sink; known are "
        "s3://bucket/prefix, syslog://host:port, https://host/path and file:///path"
    )
    if parts.scheme == "file" and parts.path and not parts.netloc:
        return FileSink(parts.path)
    if parts.scheme in ("https", "http") and parts.hostname:
        return WebhookSink(url, secret)
    try:
        if parts.scheme == "syslog" and parts.hostname and options.get("transport", "udp") in ("udp", "tcp"):
            return SyslogSink(parts.hostname, parts.port or 514, options.get("transport", "udp"))
        if parts.scheme == "s3" and parts.netloc:
            days, read = int(options.get("lock_days", "3650")), options.get("read", "yes")
            if days > 0 and read in ("yes", "no"):
                place = (parts.netloc, parts.path.strip("/"), options.get("endpoint", ""))
                return S3Sink(*place, days, read == "yes")
    except ValueError:
        raise wrong from None
    raise wrong
