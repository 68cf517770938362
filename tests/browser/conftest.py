"""Real Chromium against the running product; what a page writes to the console as an error fails the test."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.ensure_chromium import find_chromium
from tests.support import Client, Stack, load_capture, unique

# Playwright's synchronous API keeps an event loop in this thread, which Django takes for asynchronous code.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

PASSWORD = "a long enough password"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=flags)
        yield browser
        browser.close()


# What htmx says of suggestions that were under way when the person went on; a failure says more than these.
_LEFT = {f"{said}, [object HTMLDataListElement]" for said in ("htmx:sendAbort", "htmx:afterRequest")}


@dataclass
class Visitor:
    """A person at a browser of their own."""

    page: Page
    stack: Stack
    login: str
    errors: list[str] = field(default_factory=list)

    def go(self, path: str) -> int:
        response = self.page.goto(self.stack.url + path)
        self.page.wait_for_load_state("networkidle")
        assert response is not None
        return response.status

    def sign_in(self, password: str = PASSWORD) -> None:
        self.go("/accounts/login/")
        self.page.get_by_label("Login").fill(self.login)
        self.page.get_by_label("Password").fill(password)
        self.submit()

    def submit(self) -> None:
        """Press Enter and wait for the page that comes of it."""
        with self.page.expect_navigation(wait_until="networkidle"):
            self.page.keyboard.press("Enter")

    def picture(self, name: str) -> None:
        """Keep a picture of the page in the folder that `PICTURES` names, for people to look at."""
        if folder := os.environ.get("PICTURES"):
            self.page.screenshot(path=f"{folder}/{name}.png", full_page=True)

    def path(self) -> str:
        return self.page.url.removeprefix(self.stack.url)

    def violations(self) -> list[str]:
        """What axe-core finds wrong on the page."""
        found = Axe().run(self.page).response["violations"]
        return [f"{one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]]

    def sideways(self) -> int:
        """How many pixels the page is wider than the window."""
        width: int = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return width


Visit = Callable[..., Visitor]


@pytest.fixture
def visit(chromium: Browser, stack: Stack) -> Iterator[Visit]:
    """Makes a person with roles on features and gives them a browser; at the end the consoles must be
    clean.
    """
    from features.services import create_person

    contexts = []
    visitors: list[Visitor] = []

    def make(*slugs: str, role: str = "lead", administrator: bool = False, **context: Any) -> Visitor:
        login = unique("visitor")
        create_person(
            name=login,
            password=PASSWORD,
            roles=[(slug, role) for slug in slugs],
            administrator=administrator,
        )
        opened = chromium.new_context(**{"viewport": {"width": 1440, "height": 900}, **context})
        opened.set_default_timeout(15_000)
        contexts.append(opened)
        visitor = Visitor(opened.new_page(), stack, login)
        visitor.page.on(
            "console", lambda said: visitor.errors.append(said.text) if said.type == "error" else None
        )
        visitor.page.on("pageerror", lambda error: visitor.errors.append(str(error)))
        visitors.append(visitor)
        return visitor

    yield make
    for opened in contexts:
        opened.close()
    for visitor in visitors:
        # The browser notes each refusal that a test asks for as an error of its own.
        refusal = "the server responded with a status of 4"
        assert [error for error in visitor.errors if refusal not in error and error not in _LEFT] == []


def send_capture(client: Client, name: str) -> str:
    """Post a captured export and wait until it is settled; its trace ID."""
    exports, _, trace_id = load_capture(name)
    for export in exports:
        answer = client.post(export.path, export.body, export.content_type, **export.headers())
        assert answer.status_code == 200
    client.trace(trace_id)
    return trace_id
