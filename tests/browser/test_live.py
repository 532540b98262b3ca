"""What is seen on the page while it happens, without a reload."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Page, expect

from tests.browser.house import House, house
from tests.browser.visits import Visits, part
from tests.support.receiver import answer

FOR_S = 3


@pytest_asyncio.fixture(loop_scope="session")
async def home(tmp_path: Path) -> AsyncIterator[House]:
    """A house whose alarm takes its time, so that it is seen pending."""
    async with house(tmp_path, for_s=FOR_S) as made:
        yield made


async def marked(page: Page) -> Page:
    """A page that forgets its mark when it is loaded again."""
    await page.evaluate("window.mark = 'never loaded again'")
    return page


async def is_as_it_was(page: Page) -> bool:
    return bool(await page.evaluate("window.mark === 'never loaded again'"))


async def test_a_reading_is_seen_without_a_reload(home: House, visit: Visits) -> None:
    await home.say("freezer", t=-18.5)
    page = await marked(await visit())
    row = part(page, "Sensors").get_by_role("row", name="freezer.temperature")
    await expect(row).to_contain_text("-18.5 °C")
    await home.say("freezer", t=-19.25)
    await expect(row).to_contain_text("-19.25 °C")
    await home.say("freezer", t=99)
    await expect(row).to_contain_text("1 refused")
    assert await is_as_it_was(page)


async def test_a_sensor_that_is_heard_for_the_first_time_appears(home: House, visit: Visits) -> None:
    page = await marked(await visit())
    await expect(part(page, "Sensors")).not_to_contain_text("pumps.south.flow")
    await home.say("pumps/south", flow=7)
    await expect(part(page, "Sensors").get_by_role("row", name="pumps.south.flow")).to_contain_text("7 l/min")
    assert await is_as_it_was(page)


async def test_a_rule_is_seen_to_count_down_to_fire_and_to_resolve(home: House, visit: Visits) -> None:
    await home.say("freezer", t=-20)
    page = await marked(await visit())
    headline, rule = page.locator("#headline"), part(page, "Rules").get_by_role("row", name="too_warm")
    await expect(headline).to_contain_text("Well")
    await home.say("freezer", t=-10)
    await expect(rule).to_contain_text("pending")
    await expect(rule).to_contain_text("fires in")
    await expect(headline).to_contain_text("Alert")
    await expect(headline).to_contain_text("freezer.temperature (-10 °C)")
    await expect(part(page, "Firing now").get_by_role("row", name="too_warm")).to_contain_text("above -15 °C")
    await expect(page).to_have_title("▲ alert · cabin")
    await home.say("freezer", t=-20)
    await expect(rule).to_contain_text("recovering")
    await expect(headline).to_contain_text("Well")
    await expect(part(page, "Events").get_by_role("row", name="too_warm")).to_have_count(2)
    await expect(part(page, "Events")).to_contain_text("resolved")
    assert await is_as_it_was(page)


async def test_an_outage_of_a_receiver_and_its_end_are_seen(home: House, visit: Visits) -> None:
    home.ops.script = answer(503)
    page = await marked(await visit())
    webhook = part(page, "Webhooks").get_by_role("row", name="ops")
    await home.ring()
    await expect(webhook).to_contain_text("resting")
    await expect(webhook).to_contain_text("503")
    await expect(webhook.get_by_role("link", name="1", exact=True)).to_be_visible()
    await expect(page.locator("#headline")).to_contain_text("ops")
    home.ops.script = answer(204)
    await expect(webhook).to_contain_text("answering")
    await expect(page.locator("#headline")).to_contain_text("Well")
    assert await is_as_it_was(page)


async def test_a_lost_connection_is_told_and_the_page_recovers_by_itself(home: House, visit: Visits) -> None:
    await home.say("freezer", t=-18)
    page = await visit()
    await expect(page.get_by_text("Connection lost")).to_be_hidden()
    visit.agent_is_away = True
    await asyncio.to_thread(home.agent.stop)
    await expect(page.get_by_text("Connection lost")).to_be_visible()
    home.agent.start()
    await home.agent.ready()
    await expect(page.get_by_text("Connection lost")).to_be_hidden()
    await home.say("freezer", t=-21)
    await expect(part(page, "Sensors").get_by_role("row", name="freezer.temperature")).to_contain_text("-21 °C")


async def test_an_agent_that_hangs_is_told_too(home: House, visit: Visits) -> None:
    page = await visit()
    await expect(page.get_by_text("Connection lost")).to_be_hidden()
    visit.agent_is_away = True
    with home.agent.frozen():
        await expect(page.get_by_text("Connection lost")).to_be_visible()
    await expect(page.get_by_text("Connection lost")).to_be_hidden()
