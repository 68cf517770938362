"""Checkpoints leave the machine: over real sockets, again after a failure, and never held up by it."""

import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from django.db import transaction
from django.test import override_settings
from moto.server import ThreadedMotoServer

from audit import queries, verifier
from audit.models import CheckpointDelivery
from audit.services import Actor, append, deliver_checkpoints, make_checkpoint, signing_key
from audit.sinks import Sink, sinks_from


def something_happens() -> None:
    with transaction.atomic():
        append(Actor("system", "test"), "sign_out.done")


def checkpointed(sinks: list[Sink]) -> dict[str, Any]:
    """A new checkpoint, handed to the sinks."""
    something_happens()
    with override_settings(AUDIT_SINKS=sinks):
        made = make_checkpoint()
        while made is None:  # the product's own worker was faster
            something_happens()
            made = make_checkpoint()
        deliver_checkpoints()
    return made


def assert_is_of_the_record(checkpoint: dict[str, Any]) -> None:
    public = signing_key().public_key()
    assert verifier.is_signed(checkpoint, public)
    assert verifier.verify(queries.records(), public, outside=[checkpoint]).outside == checkpoint["size"]


class Hook:
    """A web server that keeps what is posted, and may refuse."""

    def __init__(self) -> None:
        self.bodies: list[tuple[bytes, str]] = []
        self.status = 200
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if hook.status == 200:
                    hook.bodies.append((body, self.headers.get("X-Clearance-Signature", "")))
                self.send_response(hook.status)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/checkpoints?token=hidden"


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_a_webhook_gets_the_signed_checkpoint_and_can_tell_who_sent_it(hook: Hook) -> None:
    sinks = sinks_from([hook.url], "a webhook secret")
    made = checkpointed(sinks)
    body, signature = hook.bodies[-1]
    assert json.loads(body) == made
    expected = hmac.new(b"a webhook secret", body, hashlib.sha256).hexdigest()
    assert signature == f"sha256={expected}"
    assert_is_of_the_record(json.loads(body))
    assert "hidden" not in sinks[0].name


def test_what_a_sink_refuses_is_handed_over_later_and_holds_nothing_up(hook: Hook) -> None:
    sinks = sinks_from([hook.url], "")
    hook.status = 503
    first = checkpointed(sinks)
    row = CheckpointDelivery.objects.get(size=first["size"], sink=sinks[0].name)
    assert (row.delivered_at, row.attempts, row.error) == (None, 1, "OSError")
    assert row.due_at > datetime.now(UTC)
    second = checkpointed(sinks)
    hook.status = 200
    CheckpointDelivery.objects.filter(delivered_at=None).update(
        due_at=datetime.now(UTC) - timedelta(seconds=1)
    )
    with override_settings(AUDIT_SINKS=sinks):
        assert deliver_checkpoints() >= 2
    sizes = [json.loads(body)["size"] for body, _ in hook.bodies]
    assert {first["size"], second["size"]} <= set(sizes)
    assert not CheckpointDelivery.objects.filter(sink=sinks[0].name, delivered_at=None).exists()


def test_a_redirect_is_not_followed(hook: Hook) -> None:
    hook.status = 302
    made = checkpointed(sinks_from([hook.url], ""))
    assert CheckpointDelivery.objects.get(size=made["size"], sink__startswith="webhook").delivered_at is None
    CheckpointDelivery.objects.filter(delivered_at=None).delete()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_syslog_gets_one_message_with_the_checkpoint(transport: str) -> None:
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(20)
        if transport == "tcp":
            listening.listen()
        port = listening.getsockname()[1]
        made = checkpointed(sinks_from([f"syslog://127.0.0.1:{port}?transport={transport}"], ""))
        if transport == "udp":
            message = listening.recv(65536)
        else:
            with listening.accept()[0] as accepted:
                framed = b"".join(iter(lambda: accepted.recv(65536), b""))
            length, _, message = framed.partition(b" ")
            assert int(length) == len(message)
    head, _, said = message.decode().partition(" - checkpoint - ")
    assert head.startswith("<110>1 2")
    assert json.loads(said) == made


def test_a_bucket_keeps_each_checkpoint_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "made-up")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        client = boto3.client("s3", endpoint_url=endpoint)
        client.create_bucket(Bucket="evidence", ObjectLockEnabledForBucket=True)
        made = checkpointed(sinks_from([f"s3://evidence/console?endpoint={endpoint}&lock_days=30"], ""))
        key = f"console/checkpoints/{made['size']:020d}.json"
        assert json.loads(client.get_object(Bucket="evidence", Key=key)["Body"].read()) == made
        kept = client.head_object(Bucket="evidence", Key=key)
        assert kept["ObjectLockMode"] == "COMPLIANCE"
        assert kept["ObjectLockRetainUntilDate"] > datetime.now(UTC) + timedelta(days=29)
        version = client.list_object_versions(Bucket="evidence")["Versions"][0]["VersionId"]
        with pytest.raises(client.exceptions.ClientError):
            client.delete_object(Bucket="evidence", Key=key, VersionId=version)
    finally:
        server.stop()


def test_a_file_is_appended_to_and_is_no_outside_place(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints"
    sinks = sinks_from([f"file://{path}"], "")
    made = [checkpointed(sinks), checkpointed(sinks)]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line for line in lines if line in made] == made
    assert not sinks[0].outside
    assert (
        verifier.verify(queries.records(), signing_key().public_key(), outside=lines).outside
        == made[-1]["size"]
    )


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/x",
        "bucket",
        "s3://",
        "file://relative",
        "syslog://host?transport=carrier",
        "s3://b?lock_days=0",
    ],
)
def test_a_wrong_sink_is_refused_by_the_variables_name(url: str) -> None:
    with pytest.raises(ValueError, match="CLEARANCE_AUDIT_SINKS"):
        sinks_from([url], "")


def test_the_same_sink_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        sinks_from(["https://host/a", "https://host/a?again=1"], "")
