"""The forms: what they ask of the agent, where they lead, and that what cannot be taken back is asked for once more."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agent.outbox import Filter
from agent.status.api import Tried, WebhookDisabled
from tests.status.page.parts import Commands, Eyes, served, snapshot, webhook

Post = Callable[..., Awaitable[tuple[int, str, str]]]


async def post(archive: Path, commands: Commands, path: str, **form: str) -> tuple[int, str, str]:
    """Status, Location and text; not followed."""
    async with (
        served(Eyes(), archive, commands) as session,
        session.post(path, data=form, allow_redirects=False) as answer,
    ):
        return answer.status, answer.headers.get("Location", ""), await answer.text()


async def get(archive: Path, path: str, **more: Any) -> str:
    async with served(Eyes(), archive, **more) as session, session.get(path) as answer:
        assert answer.status == 200
        return await answer.text()


@pytest.mark.parametrize("what", ["retry", "enable", "disable"])
async def test_a_webhook_is_switched_and_the_page_says_so_once(what: str, archive: Path) -> None:
    commands = Commands()
    status, location, _ = await post(archive, commands, f"/webhooks/ops/{what}")
    assert (status, location) == (303, f"/?done={what}&of=ops#webhooks")
    assert commands.asked == [(what, "ops")]
    assert 'class="notice" role="status">ops: ' in await get(archive, location)


@pytest.mark.parametrize("what", ["retry", "enable", "disable", "test"])
async def test_a_webhook_that_is_not_there_is_told(what: str, archive: Path) -> None:
    status, _, text = await post(archive, Commands(), f"/webhooks/unknown/{what}")
    assert status == 404
    assert "There is no webhook unknown." in text


async def test_a_disabled_webhook_is_not_retried_and_the_page_says_why(archive: Path) -> None:
    class Disabled(Commands):
        async def retry(self, webhook: str) -> bool:
            raise WebhookDisabled

    status, location, _ = await post(archive, Disabled(), "/webhooks/ops/retry")
    assert (status, location) == (303, "/?done=disabled&of=ops#webhooks")
    assert "ops: It is disabled: enable it first." in await get(archive, location)


@pytest.mark.parametrize(
    ("tried", "heading", "sentence"),
    [
        (Tried(204, None, 0.083), "ops answers", "It took the test event (204) within 83 ms."),
        (
            Tried(None, "refused: <b>", 1.2),
            "ops did not take the test event",
            "After 1.2 s: refused: &lt;b&gt;",
        ),
    ],
)
async def test_a_test_shows_what_came_of_it(tried: Tried, heading: str, sentence: str, archive: Path) -> None:
    status, _, text = await post(archive, Commands(tried=tried), "/webhooks/ops/test")
    assert status == 200
    assert f"<h1>{heading}</h1>" in text
    assert sentence in text


async def test_to_forget_a_sensor_is_asked_once_more_with_what_is_lost(archive: Path) -> None:
    commands, path = Commands(), "/sensors/a%2Fb%20c.%3Ct%3E/forget"
    text = await get(archive, path, commands=commands)
    assert commands.asked == []
    assert "<h1>Forget a/b c.&lt;t&gt;?</h1>" in text
    assert "are lost" in text
    assert f'<form method="post" action="{path}">' in text
    status, location, _ = await post(archive, commands, path)
    assert (status, location) == (303, "/?done=forget")
    assert commands.asked == [("forget", "a/b c.<t>")]


async def test_a_sensor_that_is_not_known_cannot_be_forgotten(archive: Path) -> None:
    status, _, text = await post(archive, Commands(), "/sensors/unknown/forget")
    assert status == 404
    assert "Nothing is known of a sensor unknown." in text


async def test_to_discard_is_asked_once_more_and_is_of_one_webhook(archive: Path) -> None:
    commands = Commands()
    text = await get(archive, "/events/evt_2/discard?webhook=ops", commands=commands)
    assert commands.asked == []
    assert "<h1>Discard for ops?</h1>" in text
    assert '<input type="hidden" name="webhook" value="ops">' in text
    status, location, _ = await post(archive, commands, "/events/evt_2/discard", webhook="ops")
    assert (status, location) == (303, "/events?done=discard"), "the event may be no longer there"
    assert commands.asked == [("discard", Filter(("evt_2",), ("pending", "dead"), "ops"))]


async def test_an_event_is_sent_again_to_one_webhook(archive: Path) -> None:
    commands = Commands()
    status, location, _ = await post(archive, commands, "/events/evt_2/replay", webhook="ops")
    assert (status, location) == (303, "/events/evt_2?done=replay")
    assert commands.asked == [("replay", Filter(("evt_2",), ("delivered", "dead"), "ops"))]
    assert "Sent again." in await get(archive, location)


@pytest.mark.parametrize(("what", "shown"), [("replay", "/events/evt_2"), ("discard", "/events")])
async def test_where_nothing_was_moved_that_is_said(what: str, shown: str, archive: Path) -> None:
    _, location, _ = await post(archive, Commands(moved=0), f"/events/evt_2/{what}", webhook="ops")
    assert location == f"{shown}?done={what}-none"
    assert "Nothing was" in await get(archive, location)


@pytest.mark.parametrize("path", ["/sensors/a.b/forget", "/events/evt_2/discard?webhook=ops"])
async def test_who_may_not_act_is_not_given_the_form_of_a_question(path: str, archive: Path) -> None:
    assert "<form" not in await get(archive, path, may_change=False)


async def test_a_question_waits_for_its_answer_and_does_not_renew_itself(archive: Path) -> None:
    text = await get(archive, "/sensors/a.b/forget")
    assert 'data-live-path=""' in text
    assert "http-equiv" not in text


async def test_to_look_changes_nothing(archive: Path) -> None:
    commands = Commands()
    async with served(Eyes(snapshot(webhooks={"ops": webhook("disabled")})), archive, commands) as session:
        for path in ("/webhooks/ops/test", "/webhooks/ops/enable", "/events/evt_2/replay"):
            async with session.get(path) as answer:
                assert answer.status == 405
        form = aiohttp.FormData({"webhook": "ops"})
        async with session.post("/webhooks/ops/explode", data=form) as answer:
            assert answer.status == 404
    assert commands.asked == []
