from django.apps import AppConfig


class FeaturesConfig(AppConfig):
    name = "features"

    def ready(self) -> None:
        from features import notices_page
        from features.identity import recording
        from features.registry import NavItem, register_nav

        recording.connect()
        register_nav(NavItem("house", "Notices", "notices", 800, notices_page.count))
