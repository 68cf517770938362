"""kombu's filesystem transport with messages that appear whole.

As it comes, a message's file can be seen before it is written: a worker that takes it then reads nothing, and ends.
Here a message is written beside and then renamed; what is no message all the same is passed over, since a message is
only a wake-up call.
"""

from pathlib import Path
from queue import Empty
from time import monotonic
from typing import Any
from uuid import uuid4

from kombu.exceptions import ChannelError
from kombu.transport import filesystem
from kombu.utils.encoding import str_to_bytes
from kombu.utils.json import dumps

__all__ = ["Channel", "Transport"]


class Channel(filesystem.Channel):
    """One connection's way to the folder."""

    def _put(self, queue: str, payload: Any, **kwargs: Any) -> None:  # type: ignore[override]
        name = f"{round(monotonic() * 1000)}_{uuid4()}.{queue}.msg"
        beside = Path(self.data_folder_out, f"{name}.part")  # no reader takes a name that ends so
        try:
            beside.write_bytes(str_to_bytes(dumps(payload)))
            beside.rename(Path(self.data_folder_out, name))
        except OSError as error:
            raise ChannelError(f"Cannot add the message {name!r} to the queue's folder.") from error

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        try:
            return super()._get(queue)
        except ValueError:
            raise Empty from None


class Transport(filesystem.Transport):
    """`filesystem://` (config/celery.py)."""

    Channel = Channel
