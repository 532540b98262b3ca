"""`bellcrank events`, and `bellcrank webhooks list`: what is owed, how each delivery went; send it again, or never."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from agent.cli.common import UNHEALTHY, USAGE, config_option, end, json_option, plain, table
from agent.cli.desk import Desk, Words, opened_desk

_PAGE, _PAGE_WITH_BODIES = 500, 50
_IDS_MAX = 100
_NUMBER_MAX = 2**63 - 1


class Moment(click.ParamType[float]):
    """A time, as Unix seconds: `2h` ago, or as ISO 8601 writes it, by the local clock where it names no zone."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read `2h` or `2026-01-02T03:04`."""
        from agent.clock import SystemClock
        from drivers.units import parse_duration

        if isinstance(value, float):
            return value
        with contextlib.suppress(ValueError):
            return SystemClock().wall() - parse_duration(value)
        try:
            return datetime.fromisoformat(value).timestamp()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is neither a duration such as 2h nor a time such as 2026-01-02T03:04", param, ctx)


def _filters(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say which events are meant; the command takes them as `options`."""
    states = click.Choice(["pending", "delivered", "dead"])
    for option in (
        click.option("--until", type=Moment(), help="That happened before this time, or longer ago than this."),
        click.option("--since", type=Moment(), help="That happened at this time or later, or not longer ago."),
        click.option("--type", help="Of this type, such as sensor.alert.firing."),
        click.option("--sensor", help="Of this sensor; a star stands for anything."),
        click.option("--rule", help="That this rule told."),
        click.option("--webhook", help="That are owed to this webhook."),
        click.option("--state", "states", multiple=True, type=states, help="In this state; may be given again."),
        config_option,
    ):
        command = option(command)
    return command


@click.group("events")
def events_group() -> None:
    """Look at what webhooks are and were owed; send it again, or give it up."""


@events_group.command("list")
@_filters
@click.option("--limit", default=50, type=click.IntRange(1), show_default=True, help="At most so many.")
@json_option
def events_list(config_path: Path | None, limit: int, *, as_json: bool, **options: Any) -> None:
    """List events, the newest first: a row for each webhook that one is owed to."""
    with opened_desk(config_path) as desk:
        rows, more = _newest(desk, _words(options), limit)
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    named = [(row["id"], row) for row in rows]
    table("event", named, "age_s", "type", "rule", "sensor", "webhook", "state", "attempts", "next_attempt_s")
    if not rows:
        click.echo("there is none")
    if more:
        click.echo(f"\nThese are the newest {limit}; --limit shows more.")


@events_group.command("show")
@click.argument("event")
@config_option
@json_option
def events_show(config_path: Path | None, event: str, *, as_json: bool) -> None:
    """Show an event with its body, and how each attempt to deliver it went."""
    with opened_desk(config_path) as desk:
        rows = desk.show(event)
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for row in rows:
        _print_whole(row)


@events_group.command("replay")
@click.argument("events", nargs=-1)
@_filters
@click.option("--yes", is_flag=True, help="Do not ask, though it tells of alerts that are over.")
def events_replay(config_path: Path | None, events: tuple[str, ...], *, yes: bool, **options: Any) -> None:
    """Send events again, by their ids or by a filter; of a filter what is dead, unless --state says otherwise.

    Each has the id and the bytes that it had, and does not wait for what its subject has since told.
    """
    with opened_desk(config_path) as desk:
        words = _checked(events, options, "delivered,dead" if events else "dead", "pending")
        found = _found(desk, words)
        if found["resolved"] and not yes:
            click.echo(f"{found['resolved']} of {_events(found['found'])}: the alert is over already.")
            click.confirm("Send all again?", abort=True)
        moved = _move(desk, "replay", words, found["last"])
    click.echo(f"{_events(moved)} will be sent again.")
    if moved < found["found"]:
        click.echo(f"{found['found'] - moved} will not: the configuration does not have their webhook.")


@events_group.command("discard")
@click.argument("events", nargs=-1)
@_filters
@click.option("--yes", is_flag=True, help="Do not ask.")
def events_discard(config_path: Path | None, events: tuple[str, ...], *, yes: bool, **options: Any) -> None:
    """Give events up that are pending or dead, by their ids or by a filter: they are never sent."""
    with opened_desk(config_path) as desk:
        words = _checked(events, options, "pending,dead", "delivered")
        found = _found(desk, words)
        if not yes:
            click.confirm(f"Give up {_events(found['found'])} for ever?", abort=True)
        moved = _move(desk, "discard", words, found["last"])
    click.echo(f"{_events(moved)} discarded.")


@events_group.command("export")
@_filters
def events_export(config_path: Path | None, **options: Any) -> None:
    """Print events as JSON lines with their bodies, the oldest first."""
    with opened_desk(config_path) as desk:
        for row in _oldest(desk, _words(options)):
            click.echo(json.dumps(row, ensure_ascii=False))


@click.command("list")
@config_option
@json_option
def webhooks_list(config_path: Path | None, *, as_json: bool) -> None:
    """List webhooks: how each stands, what it is owed, and what it said last that was no success."""
    with opened_desk(config_path) as desk:
        found = desk.webhooks()
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    table("webhook", found, "state", "next_attempt_s", "delivered", "pending", "dead", "dropped", "last_error")
    if not found:
        click.echo("there is none")


def _words(options: Mapping[str, Any], ids: tuple[str, ...] = ()) -> Words:
    """What was given of the filters."""
    given = {**options, "ids": ",".join(ids), "states": ",".join(options["states"])}
    return {word: str(value) for word, value in given.items() if value not in (None, "")}


def _checked(ids: tuple[str, ...], options: Mapping[str, Any], states: str, never: str) -> Words:
    """The filter of what is to be moved: all that is meant is said, and can be moved."""
    if len(ids) > _IDS_MAX:
        raise click.UsageError(f"at most {_IDS_MAX} events by their ids; a filter takes as many as there are")
    words = _words(options, ids)
    if not words:
        raise click.UsageError("say which events: by their ids, or by a filter such as --webhook")
    if never in options["states"]:
        raise click.UsageError(f"what is {never} cannot be moved so")
    return {"states": states, **words}


def _found(desk: Desk, words: Words) -> dict[str, int]:
    found = desk.matching(words)
    if not found["found"]:
        end("there is no such event", USAGE if "ids" in words else UNHEALTHY)
    return found


def _move(desk: Desk, command: str, words: Words, last: int) -> int:
    """Step by step; what comes to match meanwhile is not meant."""
    total, after = 0, 0
    while after is not None:
        step = desk.move(command, words, after, last)
        total, after = total + step["moved"], step["next"]
    return total


def _newest(desk: Desk, words: Words, limit: int) -> tuple[list[dict[str, Any]], bool]:
    """So many, and whether there are more."""
    rows: list[dict[str, Any]] = []
    before: int | None = _NUMBER_MAX
    while before is not None and len(rows) <= limit:
        page = desk.newest(words, min(_PAGE, limit + 1 - len(rows)), before)
        rows += page["events"]
        before = page["next"]
    return rows[:limit], len(rows) > limit


def _oldest(desk: Desk, words: Words) -> Iterator[dict[str, Any]]:
    after: int | None = 0
    while after is not None:
        page = desk.oldest(words, _PAGE_WITH_BODIES, after)
        yield from page["events"]
        after = page["next"]


def _print_whole(row: dict[str, Any]) -> None:
    from agent.status.words import age

    over = "; the alert is over" if row["resolved"] else ""
    click.echo(f"{plain(row['id'])}  {plain(row['type'])}  {plain(row['sensor'])}")
    click.echo(f"  happened {row['time']}, {age(row['age_s'])} ago, clock {row['clock']}{over}")
    click.echo(f"  for {plain(row['webhook'])}, number {row['sequence']}: {_standing(row)}")
    for attempt in row["log"]:
        answer = f": {_escaped(attempt['answer'])}" if attempt["answer"] else ""
        went = plain(attempt["error"] or f"HTTP {attempt['status']}")
        click.echo(f"  {age(attempt['ago_s'])} ago, in {attempt['duration_ms']:.0f} ms: {went}{answer}")
    click.echo(f"  {_escaped(row['body'])}")


def _standing(row: dict[str, Any]) -> str:
    from agent.status.words import age

    if row["state"] == "pending":
        return f"pending, next attempt in {age(row['next_attempt_s'])}, given up in {age(row['expires_s'])}"
    at_once = ", at the first attempt" if row["state"] == "delivered" and not row["log"] else ""
    return f"{row['state']} since {age(row['settled_s'])}{at_once}"


def _events(n: int) -> str:
    return "1 event" if n == 1 else f"{n} events"


def _escaped(text: str) -> str:
    """All of it, without what could move a terminal's cursor."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
