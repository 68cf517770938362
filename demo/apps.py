from django.apps import AppConfig


class DemoConfig(AppConfig):
    """The command `demo`; no models, no pages."""

    name = "demo"
