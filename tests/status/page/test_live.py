"""The stream of live parts, read by a real client: what has changed and only that, one rendering for all listeners."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from agent.clock import SystemClock
from agent.status.page import live
from agent.status.page.live import message
from agent.status.page.rendering import key
from tests.status.page.parts import Clock, Eyes, alarming, history, rule, sensor, served, snapshot

FREEZER = key("freezer.temperature")


class Ticking(Clock):
    """Goes on as time does."""

    def __init__(self) -> None:
        super().__init__()
        self._clock = SystemClock()
        self._began = self._clock.now()

    def now(self) -> float:
        return 1000.0 + self._clock.now() - self._began

    def wall(self) -> float:
        return super().wall() - self.at + self.now()


class Listener:
    """Reads messages: their kinds and what they hold."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def next(self) -> tuple[str, dict[str, str]]:
        kind, data = "message", ""
        while line := (await asyncio.wait_for(self._answer.content.readline(), 20)).decode().rstrip("\n"):
            name, _, value = line.partition(": ")
            kind, data = (value, data) if name == "event" else (kind, value if name == "data" else data)
        return (kind, json.loads(data)) if data else await self.next()

    async def first(self, wanted: Callable[[str, dict[str, str]], object]) -> tuple[str, dict[str, str]]:
        """Read on until a message is so."""
        async with asyncio.timeout(20):
            while not wanted(*(found := await self.next())):
                pass
            return found


@asynccontextmanager
async def listening(session: aiohttp.ClientSession, path: str = "/live?view=page") -> AsyncIterator[Listener]:
    async with session.get(path) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/event-stream"
        yield Listener(answer)


def test_of_two_renderings_only_what_differs_is_told() -> None:
    assert message({"a": "1", "b": "2"}, {"a": "1", "b": "3"}) == b'data: {"b":"3"}\n\n'
    assert message({"a": "1"}, {"a": "1"}) is None


def test_with_other_parts_all_are_told() -> None:
    assert message({"a": "1"}, {"a": "1", "b": "\n"}) == b'event: all\ndata: {"a":"1","b":"\\n"}\n\n'
    assert message({"a": "1"}, {}) == message(None, {}) == b"event: all\ndata: {}\n\n"


async def test_the_first_message_has_all_live_parts_as_they_stand_in_the_page(archive: Path) -> None:
    for path, view in (
        ("/", "page"),
        ("/sensors/freezer.temperature", "sensor&name=freezer.temperature"),
        ("/events", "events"),
        ("/events/evt_2", "event&id=evt_2"),
    ):
        async with served(Eyes(alarming(), history()), archive) as session:
            async with session.get(path) as answer:
                page = await answer.text()
            async with listening(session, f"/live?view={view}") as listener:
                kind, parts = await listener.next()
        assert kind == "all"
        assert len(parts) == len(re.findall(" data-live[ >]", page))
        assert f'data-live-path="/live?view={view.replace("&", "&amp;")}"' in page
        for name, html in parts.items():
            assert f' id="{name}" data-live' in page
            assert f">{html}</" in page


async def test_then_comes_what_has_changed_and_only_that(archive: Path) -> None:
    eyes = Eyes()
    async with served(eyes, archive, clock=Ticking()) as session, listening(session) as listener:
        await listener.next()
        before = eyes.shown.sensors["freezer.temperature"]
        eyes.shown = replace(eyes.shown, sensors={"freezer.temperature": replace(before, value=-17.9)})
        kind, parts = await listener.first(lambda _, parts: parts.keys() - {"as-of"})
    assert kind == "message"
    assert parts.keys() - {"as-of"} == {f"value-{FREEZER}"}
    assert parts[f"value-{FREEZER}"] == "-17.9 °C"


async def test_each_second_there_is_a_message_so_that_silence_tells_of_a_lost_connection(archive: Path) -> None:
    async with served(Eyes(), archive, clock=Ticking()) as session, listening(session) as listener:
        await listener.next()
        times = [(await listener.next())[1]["as-of"] for _ in range(3)]
    assert len(set(times)) == 3


async def test_a_new_sensor_and_one_that_is_gone_make_it_tell_all(archive: Path) -> None:
    eyes = Eyes()
    async with served(eyes, archive, clock=Ticking()) as session, listening(session) as listener:
        await listener.next()
        for sensors in ({**eyes.shown.sensors, "new.t": sensor()}, {}):
            eyes.shown = replace(eyes.shown, sensors=sensors)
            _, parts = await listener.first(lambda kind, _: kind == "all")
            assert len([name for name in parts if name.startswith("value-")]) == len(sensors)


async def test_of_a_sensor_that_is_forgotten_nothing_is_left(archive: Path) -> None:
    eyes = Eyes()
    async with (
        served(eyes, archive, clock=Ticking()) as session,
        listening(session, "/live?view=sensor&name=freezer.temperature") as listener,
    ):
        await listener.next()
        eyes.shown = replace(eyes.shown, sensors={})
        _, parts = await listener.first(lambda kind, _: kind == "all")
    assert parts == {}


async def test_however_many_listen_a_view_is_rendered_once_a_second_and_not_at_all_when_nobody_does(
    archive: Path,
) -> None:
    def at_one(_: str, parts: dict[str, str]) -> bool:
        return "12:00:01" in parts["as-of"]

    eyes, clock = Eyes(), Clock()  # the second that goes on never ends
    async with served(eyes, archive, clock=clock) as session:
        async with (
            listening(session) as one,
            listening(session) as two,
            listening(session, "/live?view=page&q=fr") as other,
        ):
            assert (await one.next())[1] == (await two.next())[1]
            await other.next()
            assert eyes.looked == 2, "two views"
            clock.at += 1
            await one.first(at_one)
            await two.first(at_one)
            await other.first(at_one)
            assert eyes.looked == 4
        clock.at += 1
        async with session.get("/static/icon.svg"):
            pass
        assert eyes.looked == 4


async def test_there_is_room_for_a_stated_number_and_who_goes_makes_some(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LISTENERS_MAX", 2)
    async with served(Eyes(), archive, clock=Ticking()) as session, listening(session):
        async with listening(session) as second:
            await second.next()
            async with session.get("/live?view=page") as third:
                assert (third.status, await third.text()) == (503, "2 pages are open already, close one")
        for _ in range(400):  # until it is noticed that the second one has gone
            if await _is_let_in(session):
                return
            await asyncio.sleep(0.05)
        pytest.fail("nobody is let in")


async def test_to_ask_for_its_head_opens_no_stream(archive: Path) -> None:
    async with served(Eyes(), archive) as session, session.head("/live?view=page") as answer:
        assert answer.status == 405


async def _is_let_in(session: aiohttp.ClientSession) -> bool:
    async with session.get("/live?view=page") as answer:
        return answer.status == 200


async def test_who_may_not_change_anything_hears_of_no_buttons(archive: Path) -> None:
    async with (
        served(Eyes(alarming()), archive, may_change=False) as session,
        listening(session) as listener,
    ):
        _, parts = await listener.next()
    assert not [name for name, html in parts.items() if "<form" in html or "<button" in html]


async def test_a_hostile_value_is_escaped_in_the_stream_too(archive: Path) -> None:
    hostile = "</td>\n\ndata: {}\n\n<script>alert(1)</script>\u202e\x1b"
    shown = snapshot(sensors={f"a.{hostile}": sensor(hostile, None)}, rules={"r": rule("a.*", {})})
    async with served(Eyes(shown), archive) as session, listening(session) as listener:
        kind, parts = await listener.next()
    assert kind == "all"
    values = [html for name, html in parts.items() if name.startswith("value-")]
    assert values == ["&lt;/td&gt;\\n\\ndata: {}\\n\\n&lt;script&gt;alert(1)&lt;/scri…"]


@pytest.mark.parametrize("path", ["/live", "/live?view=nothing", "/live?view=sensor&name=unknown"])
async def test_a_view_that_is_not_there_has_no_parts(path: str, archive: Path) -> None:
    async with served(Eyes(), archive) as session, listening(session, path) as listener:
        assert await listener.next() == ("all", {})
