"""The pages over HTTP: what stands where, that nothing breaks out of its place, and how much it weighs."""

import re
from datetime import timedelta, timezone
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from agent.status.page import STATIC
from tests.status.page.parts import Eyes, alarming, at, history, outbox, rule, sensor, served, snapshot, webhook
from tests.support.hostile import HOSTILE

VOID = {"meta", "link", "input", "br", "img"}


class Outline(HTMLParser):
    """Checks that all that is opened is closed, and gathers what there is."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.headings: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []
        assert len(self.ids) == len(set(self.ids)), "an id is of one element"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open and self.open[-1] in ("h1", "h2") and data.strip():
            self.headings.append(data.strip())


async def page(eyes: Eyes, archive: Path, path: str = "/", status: int = 200, **more: Any) -> tuple[str, Outline]:
    async with served(eyes, archive, **more) as session, session.get(path) as answer:
        assert answer.status == status, await answer.text()
        text = await answer.text()
        return text, Outline(text)


async def test_when_all_is_well_that_is_said_first(archive: Path) -> None:
    text, outline = await page(Eyes(), archive)
    assert outline.headings == [
        "cabin",
        "Firing now",
        "Sensors",
        "Rules",
        "Webhooks",
        "Sources",
        "Outbox",
        "Agent",
        "Events",
    ]
    assert '<div id="headline" data-live class="headline ok">' in text
    assert "All is well." in text
    assert "No rule fires." in text


async def test_what_fires_is_said_with_its_value_against_its_threshold(archive: Path) -> None:
    text, outline = await page(Eyes(alarming()), archive)
    assert '<div id="headline" data-live class="headline bad">' in text
    assert "too_warm: freezer.temperature (-11.2 °C) fires for 12 m 34 s" in outline.text
    row = text[text.index('<tr><th scope="row">too_warm</th>') :].partition("</tr>")[0]
    for part in ("critical", "-11.2 °C", "above -15 °C", "11:47", "for 12 m"):
        assert part in row


async def test_of_more_that_fire_than_are_listed_it_says_how_many_there_are(archive: Path) -> None:
    states = {f"rooms.r{n:03}.t": at("firing") for n in range(100)}
    cold = rule("rooms.*.t", states, counts={"firing": 4000, "recovering": 7, "ok": 900})
    text, _ = await page(Eyes(snapshot(rules={"cold": cold})), archive)
    assert '<p class="muted">and 3957 more</p>' in text
    assert "4006 more alerts" in text


async def test_a_rule_tells_when_it_will_fire_and_of_many_sensors_those_first_that_are_not_ok(archive: Path) -> None:
    _, outline = await page(Eyes(alarming()), archive)
    rules = outline.text[outline.text.index("Rules") :]
    assert "fires in 42 s" in rules
    assert "is ok in 1 m 20 s" in rules
    assert "4 that are ok" in rules
    places = [rules.index(name) for name in ("rooms.cellar.temperature", "rooms.bath.temperature", "rooms.attic.temp")]
    assert places == sorted(places)


async def test_no_name_of_a_rule_or_a_webhook_makes_the_id_of_another(archive: Path) -> None:
    words = ("value", "since", "next", "told", "rows", "state", "success", "waiting", "dead", "error", "act")
    names = ["x", *(f"{word}-x" for word in words), "rows"]
    one, two = ({f"a.{n}": at("ok") for n in range(most)} for most in (1, 2))
    for states in (one, two):
        shown = snapshot(
            rules={name: rule("a.*", states) for name in names},
            webhooks={name: webhook() for name in names},
        )
        _, outline = await page(Eyes(shown), archive)
        assert "rule.value-x" in outline.ids


async def test_a_rule_that_has_not_heard_is_not_ok(archive: Path) -> None:
    deaf = rule("cellar.t", {})
    shown = snapshot(rules={"deaf": type(deaf)(deaf.sensor, "info", heard=False)})
    _, outline = await page(Eyes(shown), archive)
    assert "not heard yet" in outline.text


async def test_refused_values_are_shown_with_the_reason(archive: Path) -> None:
    _, outline = await page(Eyes(alarming()), archive)
    assert "12 refused invalid 255 is above max 100" in outline.text
    assert "2 invalid, 1 not a number; last: invalid: 255 is above max 100" in outline.text


async def test_a_webhook_tells_how_it_stands(archive: Path) -> None:
    text, _ = await page(Eyes(alarming()), archive)
    row = text[text.index('<tr id="webhook.ops">') :].partition("</tr>")[0]
    for part in ("resting", "until <time", "next attempt in 4 m 12 s", "96.2 %", "p50 83 ms, p95 1.2 s", "oldest 1 m"):
        assert part in row
    assert "Connection refused" in row
    assert 'href="/events?webhook=ops&amp;states=dead"' in row


async def test_the_outbox_shows_that_nothing_is_lost(archive: Path) -> None:
    text, outline = await page(Eyes(alarming()), archive)
    assert "206 owed = 200 delivered + 4 pending + 2 dead + 0 dropped" in outline.text
    assert 'value="12400000" aria-label="size against its bound">19 %</meter>' in text
    _, outline = await page(Eyes(snapshot(outbox=outbox(balanced=False))), archive)
    assert "does not balance" in outline.text


async def test_the_last_events_are_there_a_row_each_with_what_became_of_them(archive: Path) -> None:
    text, _ = await page(Eyes(), archive)
    rows = re.findall(r'(?s)<tr id="event-(evt_\d)">(.*?)</tr>', text)
    assert [name for name, _ in rows] == ["evt_4", "evt_3", "evt_2", "evt_1"]
    of_second = dict(rows)["evt_2"]
    assert re.search(r"ops .*dead.*phone|phone .*ops .*dead", of_second)
    assert "11:20:00" in of_second


@pytest.mark.parametrize("path", ["/", "/events", "/sensors/freezer.temperature"])
async def test_what_was_delivered_at_the_second_attempt_had_two_wherever_it_is_listed(path: str, archive: Path) -> None:
    text, _ = await page(Eyes(), archive, path)
    row = text[text.index('<tr id="event-evt_1">') :].partition("</tr>")[0]
    assert re.findall(r"\d attempts", row) == ["2 attempts"]


async def test_times_are_those_of_the_agents_zone(archive: Path) -> None:
    text, _ = await page(Eyes(), archive, zone=timezone(timedelta(hours=5, minutes=30)))
    assert '<time datetime="2026-11-26T17:30:00+05:30">17:30:00</time>' in text


async def test_many_sensors_come_in_pages_and_can_be_filtered(archive: Path) -> None:
    eyes = Eyes(snapshot(sensors={f"rooms.room{n:04}.t": sensor(n) for n in range(5000)}))
    text, outline = await page(eyes, archive, "/?page=2")
    assert text.count('<tr id="sensor-') == 50
    assert "rooms.room0050.t" in text
    assert "page 2 of 100" in outline.text
    assert 'href="/?page=3#sensors"' in text
    text, outline = await page(eyes, archive, "/?q=ROOM499")
    assert text.count('<tr id="sensor-') == 10
    assert "10 sensors match" in outline.text
    text, _ = await page(eyes, archive, "/?q=nothing")
    assert "No sensor has “nothing” in its name." in text


async def test_many_rules_come_in_pages_and_those_that_fire_are_at_the_top_of_each(archive: Path) -> None:
    rules = {f"rule{n:04}": rule(f"s.t{n}", {}) for n in range(1000)} | {
        "last": rule("s.t", {"s.t": at("firing", 5.0, 1)})
    }
    text, outline = await page(Eyes(snapshot(rules=rules)), archive, "/?q=s&rules=2")
    section = text[text.index('id="rules"') : text.index('id="webhooks"')]
    assert len(re.findall(r'<tr>\s*<th scope="row">', section)) == 50
    assert "rule0050" in section
    assert "1001 rules, page 2 of 21" in outline.text
    assert 'href="/?q=s&amp;rules=3#rules"' in section
    assert 'href="/?q=s#rules"' in section
    assert '<th scope="row">last</th>' in text[: text.index('id="sensors"')]
    text, _ = await page(Eyes(snapshot(rules=rules)), archive, "/?rules=99")
    assert "No rule is on this page." in text


@pytest.mark.parametrize("text", HOSTILE)
async def test_a_hostile_name_or_value_stays_text(text: str, archive: Path) -> None:
    name = f"s.{text}"
    shown = snapshot(
        sensors={name: sensor(text, text[:50], refused=1, last_refusal=f"null {text}", labels={text: text})},
        rules={"cold": rule(name, {name: at("firing", 5.0, text)})},
    )
    eyes = Eyes(shown, history())
    paths = ["/", "/?q=" + quote(text[:100]), "/events?sensor=" + quote(text[:100])]
    if text.isprintable():
        paths.append("/sensors/" + quote(name, safe=""))
    for path in paths:
        html, outline = await page(eyes, archive, path)
        assert re.findall("<script", html) == ["<script"], "the page's own"
        assert "<img" not in html
        assert not [name for _, name, _ in outline.attributes if name.startswith("on") or name == "style"]
        assert not [value for _, name, value in outline.attributes if name in ("href", "action") and ":" in value]
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028]", html)
        assert "49" not in outline.text.replace("rooms", "")


async def test_a_sensors_page_has_its_charts_its_thresholds_its_rules_and_its_events(archive: Path) -> None:
    text, outline = await page(Eyes(alarming(), history()), archive, "/sensors/freezer.temperature")
    assert outline.headings == ["freezer.temperature", "History", "Rules", "Events"]
    assert text.count('<svg class="chart"') == 2
    assert text.count("too_warm: -15 °C</text>") == 2
    assert text.count('<text class="mark firing"') >= 2
    assert "state 3" in outline.text, "the last changes"
    assert "too_warm" in outline.text
    assert '<a class="button danger" href="/sensors/freezer.temperature/forget">' in text


async def test_a_sensor_is_found_among_many_whose_names_hold_its_own(archive: Path) -> None:
    eyes = Eyes(snapshot(sensors={"z.t": sensor(7), **{f"a{n}.z.t": sensor(n) for n in range(300)}}))
    text, _ = await page(eyes, archive, "/sensors/z.t")
    assert '<span class="value">7 °C</span>' in text


async def test_a_chart_has_the_hours_of_the_agents_zone(archive: Path) -> None:
    text, _ = await page(
        Eyes(past=history()), archive, "/sensors/freezer.temperature", zone=timezone(timedelta(hours=5, minutes=30))
    )
    assert ">17:15</text>" in text


async def test_a_long_value_is_whole_on_its_own_page(archive: Path) -> None:
    eyes = Eyes(snapshot(sensors={"a.b": sensor("word " * 100, None)}))
    overview, _ = await page(eyes, archive)
    assert "word " * 20 not in overview
    own, _ = await page(eyes, archive, "/sensors/a.b")
    assert "word " * 99 in own


async def test_an_event_shows_its_attempts_the_answer_and_the_request(archive: Path) -> None:
    text, outline = await page(Eyes(), archive, "/events/evt_2")
    assert outline.headings == ["too_warm", "To ops", "To phone"]
    for part in ("11:50:00", "250 ms", "400", "<script>no</script>\n\\u202e", "evt_2 is 2"):
        assert part in outline.text
    assert 'action="/events/evt_2/replay"' in text
    assert 'href="/events/evt_2/discard?webhook=ops"' in text


async def test_events_are_listed_by_a_filter(archive: Path) -> None:
    text, _ = await page(Eyes(), archive, "/events?states=dead&webhook=ops")
    assert re.findall(r'<tr id="event-(evt_\d)">', text) == ["evt_2"]
    text, _ = await page(Eyes(), archive, "/events?states=nonsense&before=x")
    assert len(re.findall(r'<tr id="event-', text)) == 4


@pytest.mark.parametrize("path", ["/sensors/unknown", "/events/unknown", "/sensors/%3Cb%3E"])
async def test_what_is_not_there_is_said_on_a_page(path: str, archive: Path) -> None:
    _, outline = await page(Eyes(), archive, path, 404)
    assert outline.headings == ["Not here"]


async def test_who_may_not_change_anything_sees_no_buttons_but_how_to_log_in(archive: Path) -> None:
    for path in ("/", "/events/evt_2", "/sensors/freezer.temperature"):
        text, _ = await page(Eyes(alarming()), archive, path, may_change=False)
        assert 'method="post"' not in text
        assert "Log in to act" in text
        assert "bellcrank status --link" in text


@pytest.mark.parametrize("path", ["/", "/sensors/freezer.temperature", "/events", "/events/evt_2"])
async def test_without_javascript_the_page_is_whole_and_renews_itself(path: str, archive: Path) -> None:
    text, outline = await page(Eyes(alarming(), history()), archive, path)
    assert f'<noscript><meta http-equiv="refresh" content="5; url={path}"></noscript>' in text
    assert ("html", "lang", "en") in outline.attributes
    assert len(re.findall("<h1", text)) == 1
    assert len(re.findall("<table", text)) == len(re.findall("<caption", text))


async def test_nothing_comes_from_another_host_and_nothing_is_inline(archive: Path) -> None:
    async with served(Eyes(alarming(), history()), archive) as session:
        for path in ("/", "/sensors/freezer.temperature", "/events/evt_2", *(f"/static/{name}" for name in STATIC)):
            async with session.get(path) as answer:
                text = (await answer.text()).replace("http://www.w3.org/2000/svg", "")
            assert not re.search(r"(https?:)?//[a-z0-9]", re.sub(r"(?m)^\s*//.*$|\s// .*$", "", text))
            assert not re.search(r"<style|style=|<script(?! src=)|\son[a-z]+=|@import|url\((?!#)", text)


async def test_page_style_script_and_icon_weigh_less_than_sixty_kilobytes(archive: Path) -> None:
    weight = 0
    async with served(Eyes(alarming()), archive) as session:
        for path in ("/", *(f"/static/{name}" for name in STATIC)):
            async with session.get(path) as answer:
                assert answer.status == 200
                weight += len(await answer.read())
    assert weight < 60_000


@pytest.mark.parametrize("word", ["view", "request", "pages", "words", "self"])
async def test_words_that_a_page_does_not_know_change_nothing(word: str, archive: Path) -> None:
    for path in ("/", "/events"):
        _, outline = await page(Eyes(), archive, f"{path}?{word}=1")
        assert "cabin" in outline.text


async def test_a_notice_is_one_of_the_pages_own_sentences(archive: Path) -> None:
    text, _ = await page(Eyes(), archive, "/?done=retry&of=ops")
    assert '<p class="notice" role="status">ops: All that waits is tried now. <a href="/">OK</a></p>' in text
    text, _ = await page(Eyes(), archive, "/?done=Call+this+number&of=ops")
    assert "Call this number" not in text
    text, _ = await page(Eyes(), archive, "/?done=retry&of=Call+this+number")
    assert '<p class="notice" role="status">All that waits is tried now. <a' in text
    assert "Call this number" not in text


async def test_behind_a_prefix_every_link_begins_with_it(archive: Path) -> None:
    for path in ("/", "/sensors/freezer.temperature", "/events/evt_2", "/events"):
        _, outline = await page(Eyes(alarming(), history()), archive, path, root="/bellcrank")
        links = [value for _, name, value in outline.attributes if name in ("href", "src", "action", "data-live-path")]
        assert [link for link in links if not link.startswith(("/bellcrank/", "#"))] == []


async def test_a_sensor_is_looked_up_by_its_name_and_not_searched_for(archive: Path) -> None:
    """Which may be a part of thousands of others."""
    eyes = Eyes(snapshot(sensors={name: sensor() for name in ("s.t", *(f"many{n:03}.s.t" for n in range(450)))}))
    await page(eyes, archive, "/sensors/s.t")
    assert eyes.looked == 1
    eyes.looked = 0
    await page(eyes, archive, "/sensors/.s", 404)
    assert eyes.looked <= 2, "and once for the frame around the answer"
