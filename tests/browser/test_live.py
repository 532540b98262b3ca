"""What is seen on the page while it happens, without a reload."""

from playwright.async_api import expect

from tests.browser.house import House
from tests.browser.visits import Visits


async def test_a_reading_is_seen_without_a_reload(home: House, visit: Visits) -> None:
    await home.say("freezer", t=-18.5)
    page = await visit()
    await expect(page.get_by_text("-18.5 °C")).to_be_visible()
