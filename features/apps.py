from django.apps import AppConfig


class FeaturesConfig(AppConfig):
    name = "features"

    def ready(self) -> None:
        from features.identity import recording

        recording.connect()
