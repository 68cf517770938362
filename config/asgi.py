"""The server's entry: OTLP ingest beside Django, because it bounds a body while reading it."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from django.core.asgi import get_asgi_application

django_application = get_asgi_application()

from traces.receive import OtlpReceiver

application = OtlpReceiver(django_application)
