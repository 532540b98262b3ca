"""`/api/v1/webhooks`: how each stands, and what may be done with it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from agent.status.api.problems import Problem
from agent.status.api.route import NO_SENSORS, Call, Route
from agent.status.commands import Commands, Tried, WebhookDisabled
from agent.status.snapshot import Eyes, WebhookFacts


@dataclass(frozen=True, slots=True)
class Webhooks:
    """All webhooks, by name; those too that the configuration no longer has."""

    webhooks: Mapping[str, WebhookFacts]


@dataclass(frozen=True, slots=True)
class Done:
    """It is done."""


def routes(eyes: Eyes, commands: Commands) -> list[Route]:
    """What is asked of webhooks."""

    async def list_webhooks(_: Call) -> Webhooks:
        return Webhooks(eyes.snapshot(NO_SENSORS).webhooks)

    async def show_webhook(call: Call) -> WebhookFacts:
        name = call.path["name"]
        found = eyes.snapshot(NO_SENSORS).webhooks.get(name)
        if found is None:
            raise _unknown(name)
        return found

    async def enable_webhook(call: Call) -> Done:
        return await _done(commands.enable, call)

    async def disable_webhook(call: Call) -> Done:
        return await _done(commands.disable, call)

    async def retry_webhook(call: Call) -> Done:
        try:
            return await _done(commands.retry, call)
        except WebhookDisabled:
            raise Problem(409, f"{call.path['name']} is disabled: enable it first") from None

    async def test_webhook(call: Call) -> Tried:
        name = call.path["name"]
        tried = await commands.test(name)
        if tried is None:
            raise _unknown(name)
        return tried

    one = "/api/v1/webhooks/{name}"
    return [
        Route("GET", "/api/v1/webhooks", "How each webhook stands", "webhooks", list_webhooks, Webhooks),
        Route("GET", one, "How a webhook stands", "webhooks", show_webhook, WebhookFacts, errors=(404,)),
        Route(
            "POST",
            f"{one}/enable",
            "Let a webhook be tried again, whatever it answered before",
            "webhooks",
            enable_webhook,
            Done,
            errors=(404,),
        ),
        Route(
            "POST",
            f"{one}/disable",
            "Send nothing to a webhook until it is enabled; what it is owed waits for as long as it may",
            "webhooks",
            disable_webhook,
            Done,
            errors=(404,),
        ),
        Route(
            "POST",
            f"{one}/retry",
            "End a webhook's rest, and try now all that waits",
            "webhooks",
            retry_webhook,
            Done,
            errors=(404, 409),
        ),
        Route(
            "POST",
            f"{one}/test",
            "Send a test event to a webhook now; it is never owed, and counted nowhere",
            "webhooks",
            test_webhook,
            Tried,
            errors=(404,),
        ),
    ]


async def _done(command: Callable[[str], Awaitable[bool]], call: Call) -> Done:
    name = call.path["name"]
    if not await command(name):
        raise _unknown(name)
    return Done()


def _unknown(name: str) -> Problem:
    return Problem(404, f"there is no webhook {name}")
