"""Thousands of sensors: the page stays usable."""

from playwright.async_api import expect

from tests.browser.house import House
from tests.browser.visits import Visits, part
from tests.support.mosquitto import Said

COUNT = 5000


async def test_of_5000_sensors_a_page_is_shown_and_one_is_found_by_its_name(home: House, visit: Visits) -> None:
    await home.broker.publish(*(Said(f"pumps/p{n:04}", f'{{"flow": {n + 1}}}') for n in range(COUNT)))
    page = await visit()
    sensors = part(page, "Sensors")
    await expect(sensors).to_contain_text(f"{COUNT} sensors, page 1 of")
    await expect(sensors.get_by_role("row", name="pumps.p0000.flow")).to_contain_text("1 l/min")
    await sensors.get_by_role("link", name="Next").click()
    await expect(sensors).to_contain_text("page 2 of")
    await page.get_by_label("Name contains").fill("P4321")
    await page.get_by_role("button", name="Filter").click()
    row = sensors.get_by_role("row", name="pumps.p4321.flow")
    await expect(row).to_contain_text("4322 l/min")
    await expect(sensors.get_by_role("row")).to_have_count(1 + 1)
    await home.say("pumps/p4321", flow=99)
    await expect(row).to_contain_text("99 l/min")
