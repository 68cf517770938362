"""The way of a policy in a browser: a fault is shown at its line while typing, mended, proposed, and accepted by
another lead.
"""

from playwright.sync_api import expect

from features.models import Feature
from features.policy import active_version, read_policy
from features.policy.activation import apply_policy
from features.policy.drafts import draft_of, propose_draft, save_draft
from features.services import create_person
from tests.browser.conftest import Visit
from tests.features.test_policy import POLICY
from tests.support import Client, unique


def give_policy(client: Client) -> str:
    text = POLICY.replace("SLUG", client.slug)
    apply_policy(read_policy(text).document, text)
    return text


def test_a_draft_with_a_fault_is_mended_while_typing_and_put_in_force_by_a_second_lead(
    visit: Visit, client: Client
) -> None:
    text = give_policy(client)
    writer, other = visit(client.slug), visit(client.slug)
    writer.sign_in()
    writer.go(f"/features/{client.slug}/policy/")
    writer.page.get_by_role("link", name="Write the next policy").click()
    writer.page.wait_for_load_state("networkidle")  # scripts are there before the first key
    field, checks = writer.page.get_by_label("clearance.toml"), writer.page.locator("#checks")
    wrong = text.replace('args.currency == "USD" &&', "args.ghost <= 50 ||")
    field.fill(wrong)
    line = next(at for at, line in enumerate(wrong.splitlines(), 1) if "ghost" in line)
    expect(checks).to_contain_text(f"Line {line}")
    expect(checks).to_contain_text("there is no ghost in args")
    expect(writer.page.get_by_role("button", name="Propose")).to_have_count(0)
    expect(field).to_be_focused()

    field.fill(text.replace('limit = "500"', 'limit = "900"'))
    expect(checks).to_contain_text("budget up")
    writer.page.get_by_role("button", name="Propose it to the other leads").click()
    expect(writer.page.get_by_role("heading", name="Proposed policy")).to_be_visible()
    expect(writer.page.get_by_role("button", name="Put it in force")).to_have_count(0)
    proposal = writer.path()

    other.sign_in()
    other.go("/notices/")
    other.page.get_by_role("link", name="proposes a policy").click()
    assert other.path() == proposal
    expect(other.page.locator("main")).to_contain_text("budget up")
    other.page.get_by_role("button", name="Put it in force").click()
    expect(other.page.get_by_role("heading", name="Policy 2")).to_be_visible()
    version = active_version(Feature.objects.get(slug=client.slug).pk)
    assert version is not None
    assert 'limit = "900"' in version.source


def test_pages_of_policies_are_clean_narrow_and_dark(visit: Visit, client: Client) -> None:
    text = give_policy(client)
    feature = Feature.objects.get(slug=client.slug)
    writer, _ = create_person(name=unique("writer"), roles=[(client.slug, "lead")])
    wider = text.replace('limit = "500"', 'limit = "900"')
    draft = save_draft(feature=feature, text=wider, revision=0, by=writer)
    proposal = propose_draft(feature=feature, revision=draft.revision, by=writer)
    save_draft(feature=feature, text=wider.replace("args.currency", "args.curency"), revision=1, by=writer)
    for options in ({}, {"viewport": {"width": 320, "height": 700}, "color_scheme": "dark"}):
        visitor = visit(client.slug, **options)
        visitor.sign_in()
        for below in (
            "",
            "draft/",
            f"proposals/{proposal.pk}/",
            "try/",
            "replay/",
            f"replay/?proposal={proposal.pk}",
        ):
            assert visitor.go(f"/features/{client.slug}/policy/{below}") == 200
            assert visitor.violations() == [], below
            assert visitor.sideways() == 0, below


def test_without_scripts_a_draft_is_saved_and_its_faults_are_shown(visit: Visit, client: Client) -> None:
    text = give_policy(client)
    visitor = visit(client.slug, java_script_enabled=False)
    visitor.sign_in()
    visitor.go(f"/features/{client.slug}/policy/draft/")
    visitor.page.get_by_label("clearance.toml").fill(text.replace('name = "refund"', ""))
    visitor.page.get_by_role("button", name="Save the draft").click()
    expect(visitor.page.locator("#checks")).to_contain_text("is missing")
    draft = draft_of(Feature.objects.get(slug=client.slug))
    assert draft is not None
    assert 'name = "refund"' not in draft.text


def test_an_action_is_tried_in_the_browser(visit: Visit, client: Client) -> None:
    give_policy(client)
    visitor = visit(client.slug, role="viewer")
    visitor.sign_in()
    visitor.go(f"/features/{client.slug}/policy/")
    visitor.page.get_by_role("link", name="Try an action").click()
    visitor.page.get_by_label("Action").fill("refund")
    visitor.page.get_by_label("Arguments").fill('{"order_id": "A-1", "amount": "180.00", "currency": "USD"}')
    visitor.page.get_by_role("button", name="Ask the policy").click()
    expect(visitor.page.locator("main")).to_contain_text("needs approval")
    expect(visitor.page.locator("main")).to_contain_text("currency is USD and amount at most 50")
    assert visitor.violations() == []
