"""The server's entry: beside Django OTLP ingest, because it bounds a body while reading it, and the kill switch, which
has a thread and a connection of its own.
"""

import gc
import os
import sys
from typing import cast

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from django.core.asgi import get_asgi_application

django_application = get_asgi_application()

from approvals.kill_door import KillDoor
from traces.receive import Application, OtlpReceiver

# Django types the same protocol more narrowly.
application = OtlpReceiver(KillDoor(cast(Application, django_application)))

# What is loaded by now stays: the collector need not look at it again, and looks seldom at what bodies are decoded to,
# which has no cycles.
gc.collect()
gc.freeze()
gc.set_threshold(50_000, 20, 20)
# A request that comes while bodies are worked on waits for at most so long for its turn (the default: 5 ms).
sys.setswitchinterval(0.001)
