"""Where checkpoints go: outside of this machine, where whoever owns it cannot take them back.

Each sink is a URL; several, separated by commas, in CLEARANCE_AUDIT_SINKS:
`s3://bucket/prefix?endpoint=https://...&lock_days=3650` (credentials as boto3 finds them), `syslog://host:514?transport=tcp`,
`https://host/path` (a webhook), `file:///path`. A local file is a convenience, not a sink: who can change the record
can change it too.
"""

import hashlib
import hmac
import json
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import boto3
import botocore.config
import msgspec
import requests

_SECONDS = 15
# RFC 5424: facility 13 (log audit), severity 6 (informational).
_PRIORITY = 13 * 8 + 6


class Sink(Protocol):
    """A place for checkpoints. `name` says which, without secrets."""

    @property
    def name(self) -> str: ...

    @property
    def outside(self) -> bool:
        """Whether it is out of reach of whoever owns this machine."""

    def send(self, checkpoint: dict[str, Any]) -> None:
        """Hand the checkpoint over. Raises whatever the way there raises."""


class FileSink(msgspec.Struct, frozen=True):
    """JSON lines, appended to."""

    path: str
    outside: bool = False

    @property
    def name(self) -> str:
        return f"file {self.path}"

    def send(self, checkpoint: dict[str, Any]) -> None:
        with Path(self.path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(checkpoint) + "\n")


class SyslogSink(msgspec.Struct, frozen=True):
    """A message of RFC 5424 by UDP, or by TCP with its length before it (RFC 6587, 3.4.1)."""

    host: str
    port: int
    transport: str
    outside: bool = True

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


class WebhookSink(msgspec.Struct, frozen=True):
    """A POST of the checkpoint; with a secret, its HMAC-SHA256 in `X-Clearance-Signature: sha256=...`."""

    url: str
    secret: str
    outside: bool = True

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


class S3Sink(msgspec.Struct, frozen=True):
    """An object a checkpoint, locked in compliance mode: not even the bucket's owner removes it before its day."""

    bucket: str
    prefix: str
    endpoint: str
    lock_days: int
    outside: bool = True

    @property
    def name(self) -> str:
        return f"s3 {self.bucket}/{self.prefix}".rstrip("/")

    def send(self, checkpoint: dict[str, Any]) -> None:
        quick = botocore.config.Config(
            connect_timeout=_SECONDS, read_timeout=_SECONDS, retries={"max_attempts": 2}
        )
        client = boto3.client("s3", endpoint_url=self.endpoint or None, config=quick)
        client.put_object(
            Bucket=self.bucket,
            # In the order of their sizes when listed.
            Key=f"{self.prefix}{'/' if self.prefix else ''}checkpoints/{checkpoint['size']:020d}.json",
            Body=json.dumps(checkpoint).encode(),
            ContentType="application/json",
            ObjectLockMode="COMPLIANCE",
            ObjectLockRetainUntilDate=datetime.now(UTC).replace(microsecond=0)
            + timedelta(days=self.lock_days),
        )


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
            days = int(options.get("lock_days", "3650"))
            if days > 0:
                return S3Sink(parts.netloc, parts.path.strip("/"), options.get("endpoint", ""), days)
    except ValueError:
        raise wrong from None
    raise wrong
