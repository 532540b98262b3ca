"""What may be done on the page, by whom, and what comes of it."""

import json

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.house import House
from tests.browser.visits import Visits, part
from tests.support.receiver import answer, first
from tests.support.waiting import until


def webhook(page: Page, name: str) -> Locator:
    return part(page, "Webhooks").get_by_role("row", name=name)


async def test_who_is_not_logged_in_sees_all_and_no_button_that_changes_anything(home: House, visit: Visits) -> None:
    await home.say("freezer", t=-18)
    page = await visit()
    await expect(part(page, "Sensors")).to_contain_text("-18 °C")
    assert await page.get_by_role("button").all_inner_texts() == ["Filter"]
    assert await page.locator("form[method=post]").count() == 0
    await expect(page.get_by_role("link", name="Log in")).to_be_visible()


async def test_a_link_logs_in_once(home: House, visit: Visits) -> None:
    link = await home.login_link()
    page = await visit(link.removeprefix(home.url))
    await page.get_by_role("button", name="Log in here").click()
    await expect(webhook(page, "ops").get_by_role("button", name="Test")).to_be_visible()
    visit.refused_with = {403}
    other = await visit(link.removeprefix(home.url))
    await other.get_by_role("button", name="Log in here").click()
    await expect(other.get_by_role("alert")).to_contain_text("can be used once")


async def test_who_logs_out_has_no_buttons_any_more(visit: Visits) -> None:
    page = await visit(log_in=True)
    await page.get_by_role("link", name="Logged in").click()
    await page.get_by_role("button", name="Log out").click()
    await page.goto(page.url.removesuffix("login"))
    await expect(page.get_by_role("button", name="Test")).to_have_count(0)


async def test_a_test_event_is_sent_and_what_became_of_it_is_told(home: House, visit: Visits) -> None:
    page = await visit(log_in=True)
    await webhook(page, "ops").get_by_role("button", name="Test").click()
    await expect(page.get_by_role("heading", name="ops answers")).to_be_visible()
    await expect(page.get_by_text("204")).to_be_visible()
    assert len(home.ops.got) == 1
    home.ops.script = answer(418)
    await page.go_back()
    await webhook(page, "ops").get_by_role("button", name="Test").click()
    await expect(page.get_by_role("heading", name="ops did not take the test event")).to_be_visible()
    await expect(page.get_by_text("418")).to_be_visible()


async def test_what_waits_for_an_hour_is_retried_now(home: House, visit: Visits) -> None:
    home.spare.script = first(1, answer(503), answer(204))
    await home.say("freezer", t=0)
    page = await visit(log_in=True)
    await expect(webhook(page, "spare")).to_contain_text("HTTP 503")
    await webhook(page, "spare").get_by_role("button", name="Retry now").click()
    await expect(page.get_by_text("All that waits is tried now.")).to_be_visible()
    await expect(webhook(page, "spare")).to_contain_text("answering")
    assert len(home.spare.got) == 2


async def test_a_webhook_is_disabled_and_enabled_again(home: House, visit: Visits) -> None:
    page = await visit(log_in=True)
    await webhook(page, "ops").get_by_role("button", name="Disable").click()
    await expect(webhook(page, "ops")).to_contain_text("disabled")
    await home.ring()
    await expect(webhook(page, "ops").get_by_role("link", name="1", exact=True)).to_be_visible()
    assert home.ops.got == []
    await webhook(page, "ops").get_by_role("button", name="Enable").click()
    await expect(webhook(page, "ops")).to_contain_text("answering")
    await until(lambda: len(home.ops.got) == 1)


async def test_an_event_shows_its_request_its_attempts_and_their_answers_and_is_replayed(
    home: House, visit: Visits
) -> None:
    home.ops.script = first(1, answer(500), answer(204))
    await home.ring()
    await until(lambda: len(home.ops.got) == 2)
    page = await visit("/events", log_in=True)
    await page.get_by_role("link", name="ring").click()
    attempts = page.get_by_role("table", name="Attempts")
    await expect(attempts.get_by_role("row")).to_have_count(1 + 2)
    await expect(attempts).to_contain_text("500")
    await page.get_by_text("Request: POST").click()
    await expect(page.get_by_text("webhook-id")).to_be_visible()
    sent = json.loads(home.ops.got[0].body)
    await expect(page.get_by_text(sent["id"]).first).to_be_visible()
    await page.get_by_role("button", name="Replay").click()
    await until(lambda: len(home.ops.got) == 3)
    assert len({got.id for got in home.ops.got}) == 1


@pytest.mark.parametrize("decision", ["Discard", "Cancel"])
async def test_an_event_is_discarded_only_when_it_is_said_twice(home: House, visit: Visits, decision: str) -> None:
    home.ops.script = answer(503)
    await home.ring()
    page = await visit("/events?states=pending", log_in=True)
    await page.get_by_role("link", name="ring").click()
    await page.get_by_role("link", name="Discard").click()
    await expect(page.get_by_text("It is never sent")).to_be_visible()
    if decision == "Discard":
        await page.get_by_role("button", name="Discard").click()
        await expect(page.get_by_text("Discarded.")).to_be_visible()
        await home.webhook("ops", pending=0, dropped=1)
    else:
        await page.get_by_role("link", name="Cancel").click()
        await expect(page.get_by_role("link", name="Discard")).to_be_visible()
        await home.webhook("ops", pending=1, dropped=0)
