"""The embedded queue: messages are seen whole, and what is none ends nobody."""

import threading
from pathlib import Path
from queue import Empty

import pytest
from kombu import Connection

import config.celery  # noqa: F401 - says which transport filesystem:// is


def connection_to(folder: Path) -> Connection:
    return Connection(
        "filesystem://",
        transport_options={
            "data_folder_in": str(folder),
            "data_folder_out": str(folder),
            "control_folder": str(folder / "control"),
        },
    )


def test_messages_put_while_others_are_taken_are_all_read_whole(tmp_path: Path) -> None:
    count = 150

    def put(writer: int) -> None:
        with connection_to(tmp_path) as connection, connection.SimpleQueue("wake") as queue:
            for n in range(count):
                queue.put({"n": [writer, n], "padding": "x" * 4000})

    writers = [threading.Thread(target=put, args=(writer,)) for writer in range(2)]
    with connection_to(tmp_path) as connection, connection.SimpleQueue("wake") as queue:
        for writer in writers:
            writer.start()
        found: set[tuple[int, int]] = set()
        while len(found) < 2 * count:
            message = queue.get(timeout=30)
            found.add(tuple(message.payload["n"]))
            message.ack()
        for writer in writers:
            writer.join()
    assert len(found) == 2 * count


def test_a_file_that_is_no_message_is_passed_over(tmp_path: Path) -> None:
    with connection_to(tmp_path) as connection, connection.SimpleQueue("passed") as queue:
        (tmp_path / "1_half.passed.msg").write_bytes(b"")
        with pytest.raises(Empty):
            queue.get(timeout=0.5)
        queue.put({"n": 1})
        assert queue.get(timeout=30).payload == {"n": 1}
