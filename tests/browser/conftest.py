"""One Chromium for all tests of a process; for each test a house and visits to it that have to go well."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect

from tests.browser.house import House, house
from tests.browser.visits import PATIENCE_MS, Visits, chromium

_HERE = Path(__file__).parent
expect.set_options(timeout=PATIENCE_MS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The browser lives in the loop of the session, and so do the tests that use it."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        started = await chromium(playwright)
        yield started
        await started.close()


@pytest_asyncio.fixture(loop_scope="session")
async def home(tmp_path: Path) -> AsyncIterator[House]:
    """A house of the test's own."""
    async with house(tmp_path) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: Browser, home: House) -> AsyncIterator[Visits]:
    """Opens pages of `home`."""
    visits = Visits(browser, home)
    yield visits
    await visits.close()
    assert visits.problems == []
