"""Wake a worker: at most a few messages a second for a process, sent beside the request, lost without harm.

What is to be done stands in `dirty_trace`; the periodic sweep finds what no message announced.
"""

import logging
import threading
import time

log = logging.getLogger("clearance.wake")
_PAUSE_SECONDS = 0.3

_asked = threading.Event()
_started = threading.Lock()
_thread: threading.Thread | None = None


def wake() -> None:
    """Ask for a settle soon; returns at once."""
    global _thread
    _asked.set()
    if _thread is None or not _thread.is_alive():
        with _started:
            if _thread is None or not _thread.is_alive():
                _thread = threading.Thread(target=_send_for_ever, name="wake", daemon=True)
                _thread.start()


def _send_for_ever() -> None:
    from traces.tasks import settle

    while True:
        _asked.wait()
        _asked.clear()
        try:
            settle.apply_async(expires=10, retry=False)
        except Exception as error:  # noqa: BLE001 - whatever a broker raises
            # A broker that is away costs time, never work: the sweep finds the mark.
            log.warning("no worker was woken: %s", type(error).__name__)
        time.sleep(_PAUSE_SECONDS)
