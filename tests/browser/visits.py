"""Pages of a browser, each in a context of its own, and whatever goes wrong in them."""

import shutil
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Locator,
    Page,
    Playwright,
    Request,
    Response,
)

from tests.browser.house import House

PATIENCE_MS = 30_000
WIDE, PHONE, NARROW = 1280, 360, 320
_STEADY: dict[str, Any] = {"reduced_motion": "reduce", "locale": "en-GB", "timezone_id": "UTC"}

_OPTIONS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


async def chromium(playwright: Playwright) -> Browser:
    """Start Debian's."""
    found = shutil.which("chromium")
    assert found, "Debian's package chromium is needed"
    return await playwright.chromium.launch(executable_path=found, chromium_sandbox=False, args=list(_OPTIONS))


class Visits:
    """Opens pages of one house."""

    def __init__(self, browser: Browser, house: House) -> None:
        self._browser, self._house = browser, house
        self._contexts: list[BrowserContext] = []
        self.problems: list[str] = []
        """Errors, violations of the content security policy among them, dialogs, requests to others, failures."""
        self.agent_is_away = False
        """Meanwhile requests that fail are no problem."""
        self.refused_with: set[int] = set()
        """Statuses of answers that are no problem."""

    async def __call__(
        self, path: str = "/", *, width: int = WIDE, height: int = 900, log_in: bool = False, **context: Any
    ) -> Page:
        """Open a path in a fresh context. `context`: options of `Browser.new_context`."""
        made = await self._browser.new_context(viewport={"width": width, "height": height}, **_STEADY, **context)
        self._contexts.append(made)
        made.set_default_timeout(PATIENCE_MS)
        page = await made.new_page()
        self._watch(page)
        if log_in:
            await page.goto(await self._house.login_link())
            await page.get_by_role("button", name="Log in here").click()
            await page.wait_for_url(f"{self._house.url}/")
        if not log_in or path != "/":
            await page.goto(self._house.url + path)
        return page

    async def close(self) -> None:
        """Close all."""
        for context in self._contexts:
            await context.close()

    def _watch(self, page: Page) -> None:
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.problems.append(f"an exception: {error}"))
        page.on("request", self._on_request)
        page.on("requestfailed", self._on_failed)
        page.on("response", self._on_response)
        page.on("dialog", self._on_dialog)

    def _on_console(self, message: ConsoleMessage) -> None:
        is_expected = self.agent_is_away or any(f"status of {code} " in message.text for code in self.refused_with)
        if message.type in ("error", "warning") and not is_expected:
            self.problems.append(f"console: {message.text}")

    def _on_request(self, request: Request) -> None:
        if request.url.startswith("data:"):
            return
        if urlsplit(request.url).netloc != urlsplit(self._house.url).netloc:
            self.problems.append(f"a request to another host: {request.url}")

    def _on_failed(self, request: Request) -> None:
        was_left = request.failure == "net::ERR_ABORTED"  # with its page
        if not self.agent_is_away and not was_left:
            self.problems.append(f"{request.url}: {request.failure}")

    def _on_response(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self.refused_with:
            self.problems.append(f"{response.url}: {response.status}")

    async def _on_dialog(self, dialog: Dialog) -> None:
        self.problems.append(f"a dialog: {dialog.message}")
        await dialog.dismiss()


def part(page: Page, name: str) -> Locator:
    """A section of a page by its heading."""
    return page.get_by_role("region", name=name, exact=True)


async def overhang(page: Page) -> int:
    """By how many pixels a page is wider than its window, so that it scrolls sideways."""
    root = "document.documentElement"
    found: int = await page.evaluate(f"Math.max({root}.scrollWidth, document.body.scrollWidth) - {root}.clientWidth")
    return max(0, found)
