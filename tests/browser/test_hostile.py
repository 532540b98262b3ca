"""Texts that try to be more than text, as names, values, units and answers of a receiver: each stays a text.

The pages are shown without their content security policy, so that nothing but the escaping protects them.
"""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Locator, Page, expect

from tests.browser.house import CONFIG, House, house
from tests.browser.visits import NARROW, Visits, overhang, part
from tests.support.hostile import HOSTILE
from tests.support.mosquitto import Said
from tests.support.waiting import until

EVIL = CONFIG.replace("delays: [0, 1s, 2s]", "delays: [0, 10ms]").replace(
    "rules:\n",
    """\
  evil: {{driver: mqtt, topic: "evil/{{who}}", sensors: {{said: {{path: said, type: text, unit: {unit}}}}}}}
rules:
  each: {{sensor: "evil.*.said", each: reading, send_to: [ops]}}
""",
)
UNIT = "</td><script>alert(1)</script>"
INTACT = """() => {
    const headings = [...document.querySelectorAll("h2")].map(heading => heading.textContent);
    const parts = headings.filter(text => text !== "Whole value");
    const foreign = document.querySelectorAll("img, iframe, base, style, script:not([src]), [onload], [onfocus]");
    return [parts, foreign.length, document.querySelectorAll("main").length];
}"""
SECTIONS = ["Firing now", "Sensors", "Rules", "Webhooks", "Sources", "Outbox", "Agent", "Events"]


NAMES = sorted({"".join(char for char in text if char not in "/+#" and ord(char) >= 32)[:1000] for text in HOSTILE})
"""What brokers take of it as a level of a topic."""
TOLD = len(NAMES) + len(HOSTILE)
ATTEMPTS = 5
"""Of what is answered 400."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A house in which a stranger says what he likes."""
    async with house(tmp_path_factory.mktemp("evil"), EVIL, unit=json.dumps(UNIT)) as made:
        texts = [(name, HOSTILE[n % len(HOSTILE)]) for n, name in enumerate([*NAMES, *("other",) * len(HOSTILE)])]
        await made.broker.publish(*(Said(f"evil/{name}", json.dumps({"said": text})) for name, text in texts))
        yield made


async def links(within: Locator) -> list[str]:
    """Where its links lead."""
    found: list[str] = await within.get_by_role("link").evaluate_all("all => all.map(one => one.href)")
    return found


async def intact(page: Page, *sections: str) -> None:
    """Nothing of it has become a part of the page."""
    assert await page.evaluate(INTACT) == [list(sections), 0, 1]


async def test_whatever_sensors_say_and_are_called_all_pages_show_it_as_text(home: House, visit: Visits) -> None:
    await until(lambda: len(home.ops.got) >= TOLD)
    page = await visit(bypass_csp=True)
    await expect(part(page, "Sensors").get_by_role("row")).to_have_count(1 + len(NAMES) + 1)
    await intact(page, *SECTIONS)
    headings = set()
    for link in await links(part(page, "Sensors")):
        await page.goto(link)
        await intact(page, "History", "Rules", "Events")
        headings.add(await page.locator("h1").text_content())
    assert len(headings) == len(NAMES) + 1
    assert "evil.<svg onload=alert(1)>.said" in headings


async def test_the_longest_name_fits_on_the_narrowest_phone(home: House, visit: Visits) -> None:
    longest = max(NAMES, key=len)
    page = await visit(width=NARROW)
    for path in ("/", f"/sensors/evil.{longest}.said", "/events"):
        await page.goto(home.url + path)
        await expect(page.get_by_text("xxxxxxxxxxxxxxx").first).to_be_visible()
        assert await overhang(page) == 0


async def test_whatever_is_told_of_it_its_events_show_it_as_text(home: House, visit: Visits) -> None:
    await until(lambda: len(home.ops.got) >= TOLD)
    page = await visit("/events", bypass_csp=True)
    await intact(page)
    for link in (await links(page.get_by_role("table")))[: len(HOSTILE)]:
        await page.goto(link)
        await page.get_by_text("Request: POST").click()
        await intact(page, "To ops")
        await expect(page.get_by_text('"value"')).to_be_visible()


async def test_whatever_a_receiver_answers_is_shown_as_text(home: House, visit: Visits) -> None:
    await until(lambda: len(home.ops.got) >= TOLD)
    left = list(HOSTILE)

    async def refuse(_: web.Request, _n: int) -> web.Response:
        text = left.pop()
        reason = text if text.isascii() and text.isprintable() else None
        return web.Response(status=400, text=text, reason=reason)

    home.ops.script = refuse
    for _ in range(len(HOSTILE) // ATTEMPTS):
        await home.ring()
    await home.webhook("ops", dead=len(HOSTILE) // ATTEMPTS)
    page = await visit("/events?states=dead", bypass_csp=True)
    await intact(page)
    for link in await links(page.get_by_role("table")):
        await page.goto(link)
        await intact(page, "To ops")
        await expect(page.get_by_role("table", name="Attempts").get_by_role("row")).to_have_count(1 + ATTEMPTS)
    assert left == []
