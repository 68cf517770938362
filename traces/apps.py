from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class TracesConfig(AppConfig):
    name = "traces"

    def ready(self) -> None:
        from traces import panels

        panels.register()
        post_migrate.connect(_make_partitions, sender=self)


def _make_partitions(**kwargs: Any) -> None:
    """After each migrate: a start after a long rest has the days it needs before the first span comes."""
    from traces.retention import ensure_partitions, write_floor

    write_floor()
    ensure_partitions()
