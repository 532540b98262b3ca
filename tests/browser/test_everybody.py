"""The page serves everybody: on a phone, by keyboard, by a screen reader, in the dark, without JavaScript."""

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import Page, expect

from tests.browser.house import House, house
from tests.browser.visits import NARROW, PHONE, WIDE, Visits, overhang, part
from tests.support.receiver import answer
from tests.support.waiting import until

FOCUS = """() => {
    const at = document.activeElement, style = getComputedStyle(at), box = at.getBoundingClientRect();
    return [at.textContent.trim() || at.name, style.outlineStyle, box.top >= 0 && box.bottom <= innerHeight];
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A house with something of everything: alerts that fire and that wait, what is refused, what waits, what rests."""
    async with house(tmp_path_factory.mktemp("home")) as made:
        made.spare.script = answer(503)
        await made.ring()
        for reading in ({"t": -19.5}, {"t": -12}, {"t": 99}):
            await made.say("freezer", **reading)
        for pump, flow in (("north", 0), ("south", 7)):
            await made.say(f"pumps/{pump}", flow=flow)
        await until(lambda: len(made.ops.got) == 2)
        await until(lambda: made.spare.got)
        yield made


async def paths(page: Page, home: House) -> list[str]:
    """Every page that there is; `page` is logged in."""
    await page.goto(f"{home.url}/events?states=pending")
    event = await page.get_by_role("link", name="too_warm").get_attribute("href")
    return [
        "/",
        "/sensors/freezer.temperature",
        "/sensors/doorbell.button",
        "/events",
        f"{event}",
        f"{event}/discard?webhook=spare",
        "/sensors/doorbell.button/forget",
        "/login",
    ]


@pytest.mark.parametrize(("scheme", "width"), [("light", WIDE), ("dark", PHONE)])
async def test_axe_finds_nothing_on_any_page(home: House, visit: Visits, scheme: str, width: int) -> None:
    page = await visit(log_in=True, width=width, color_scheme=scheme)
    for path in await paths(page, home):
        await page.goto(home.url + path)
        found = await Axe().run(page)
        assert found.violations_count == 0, f"{path}: {found.generate_report()}"


@pytest.mark.parametrize("width", [PHONE, NARROW])
async def test_no_page_scrolls_sideways_on_a_phone(home: House, visit: Visits, width: int) -> None:
    page = await visit(log_in=True, width=width)
    for path in await paths(page, home):
        await page.goto(home.url + path)
        assert await overhang(page) == 0, path


async def test_all_is_reached_by_keyboard_in_its_order_and_the_focus_is_seen(home: House, visit: Visits) -> None:
    page = await visit(log_in=True)
    reached: list[str] = []
    while not reached or reached[-1] != "All events":
        await page.keyboard.press("Tab")
        name, outline, is_seen = await page.evaluate(FOCUS)
        assert (outline, is_seen) == ("solid", True), name
        reached.append(name)
    wanted = ["Skip to the content", "cabin", "Overview", "Events", "freezer.temperature", "q", "Filter", "Test"]
    assert [name for name in dict.fromkeys(reached) if name in wanted] == wanted


async def test_a_button_is_pressed_by_keyboard_and_keeps_the_focus_while_the_page_lives(
    home: House, visit: Visits
) -> None:
    page = await visit(log_in=True)
    button = part(page, "Webhooks").get_by_role("row", name="ops").get_by_role("button", name="Test")
    await button.focus()
    clock = page.locator("#as-of")
    for _ in range(2):
        await expect(clock).not_to_have_text(await clock.inner_text())
    await expect(button).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="ops answers")).to_be_visible()


async def test_the_link_at_the_top_leads_past_the_navigation(visit: Visits) -> None:
    page = await visit()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("main")).to_be_focused()


async def test_without_javascript_all_is_read_and_forms_work(home: House, visit: Visits) -> None:
    page = await visit(log_in=True, java_script_enabled=False)
    await expect(page.locator("#headline")).to_contain_text("Alert")
    await expect(part(page, "Sensors").get_by_role("row", name="freezer.temperature")).to_contain_text("-12 °C")
    await page.get_by_label("Name contains").fill("south")
    await page.get_by_role("button", name="Filter").click()
    await expect(part(page, "Sensors").get_by_role("row")).to_have_count(1 + 1)
    webhook = part(page, "Webhooks").get_by_role("row", name="ops")
    await webhook.get_by_role("button", name="Test").click()
    await expect(page.get_by_role("heading", name="ops answers")).to_be_visible()


async def test_the_page_of_a_sensor_draws_its_history_with_its_thresholds_and_events(
    home: House, visit: Visits
) -> None:
    page = await visit("/sensors/freezer.temperature")
    chart = page.get_by_role("img", name="Last hour")
    await expect(chart).to_have_accessible_name(re.compile("between -19.5 °C and -12 °C.*threshold too_warm: -15 °C"))
    await expect(chart.locator("line.threshold")).to_have_count(2)
    await expect(chart.locator("line.mark.firing")).to_have_count(1)
    await expect(part(page, "Rules")).to_contain_text("too_warm")
    await expect(part(page, "Events").get_by_role("link", name="too_warm")).to_be_visible()
