from django.apps import AppConfig


class ApprovalsConfig(AppConfig):
    name = "approvals"

    def ready(self) -> None:
        from approvals import panels, policy_parts, privilege_page, telling

        telling.register()
        policy_parts.register()
        privilege_page.register()
        panels.register()
