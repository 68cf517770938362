"""A passkey in a real browser with a virtual authenticator: set up, signing in with it, proving it again."""

from allauth.mfa.models import Authenticator
from playwright.sync_api import Page

from features.models import ApiKey
from tests.browser.conftest import PASSWORD, Visit, Visitor
from tests.support import Client


def give_authenticator(page: Page) -> None:
    """A device that holds passkeys and recognises its owner, as a phone or a laptop does."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    devtools.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "internal",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": True,
                "automaticPresenceSimulation": True,
            }
        },
    )


def press(visitor: Visitor, name: str) -> None:
    with visitor.page.expect_navigation(wait_until="networkidle"):
        visitor.page.get_by_role("button", name=name, exact=True).click()


def test_a_passkey_is_set_up_signs_in_and_proves_a_dangerous_act(visit: Visit, client: Client) -> None:
    visitor = visit(client.slug)
    page = visitor.page
    # Passkeys belong to names, not to addresses.
    visitor.go("/accounts/login/")
    assert page.get_by_role("button", name="Use a passkey").count() == 0
    local = f"http://localhost:{visitor.stack.port}"
    give_authenticator(page)
    page.goto(f"{local}/accounts/login/?next=/accounts/2fa/passkeys/add/")
    page.get_by_label("Login").fill(visitor.login)
    page.get_by_label("Password").fill(PASSWORD)
    visitor.submit()
    page.get_by_label("Password").fill(PASSWORD)  # setting one up asks again
    visitor.submit()
    page.get_by_label("Name").fill("my laptop")
    page.get_by_label("Passwordless").check()
    press(visitor, "Add")
    assert visitor.violations() == []
    page.goto(f"{local}/accounts/2fa/")
    assert page.get_by_text("Manage 1").is_visible()
    assert visitor.violations() == []

    page.context.clear_cookies()
    page.goto(f"{local}/accounts/login/?next=/features/{client.slug}/settings/")
    assert visitor.violations() == []
    press(visitor, "Use a passkey")
    assert page.url == f"{local}/features/{client.slug}/settings/"

    # The passkey is the fresh proof that a key needs.
    before = ApiKey.objects.filter(feature__slug=client.slug).count()
    press(visitor, "Make the key")
    assert "shown only now" in page.content()
    assert ApiKey.objects.filter(feature__slug=client.slug).count() == before + 1
    kinds = Authenticator.objects.filter(user__name=visitor.login).values_list("type", flat=True)
    assert sorted(kinds) == ["recovery_codes", "webauthn"]
