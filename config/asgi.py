"""The server's entry: OTLP ingest beside Django, because it bounds a body while reading it."""

import os
from typing import cast

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from django.core.asgi import get_asgi_application

django_application = get_asgi_application()

from traces.receive import Application, OtlpReceiver

# Django types the same protocol more narrowly.
application = OtlpReceiver(cast(Application, django_application))
