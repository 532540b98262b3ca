"""Who answers what people ask of deliveries: a running agent, or the outbox itself where none runs."""

import contextlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlencode

from agent.cli.asking import ask
from agent.cli.common import UNHEALTHY, USAGE, end, find_file, idle_outbox_or_end, load_config

if TYPE_CHECKING:
    from agent.config import Config
    from agent.outbox import Filter
    from agent.outbox.idle import IdleOutbox

Words = dict[str, str]
"""A filter, as the API takes it (`agent.outbox.Filter.parse`)."""


class Desk(Protocol):
    """All answers are as `agent.status.api` gives them."""

    def newest(self, words: Words, limit: int, before: int) -> dict[str, Any]:
        """A page of deliveries, the newest first: those whose numbers are below `before`."""

    def oldest(self, words: Words, limit: int, after: int) -> dict[str, Any]:
        """A page of deliveries with their bodies, the oldest first: those behind `after`."""

    def show(self, event_id: str) -> list[dict[str, Any]]:
        """All deliveries of one event."""

    def matching(self, words: Words) -> dict[str, int]:
        """How many there are."""

    def move(self, command: str, words: Words, after: int, upto: int) -> dict[str, Any]:
        """A step of `replay` or `discard`."""

    def webhooks(self) -> dict[str, dict[str, Any]]:
        """How each webhook stands."""


@contextlib.contextmanager
def opened_desk(config_path: Path | None) -> Iterator[Desk]:
    """The running agent, else the outbox itself. Ends the process with a message where neither can be had."""
    if _agent_answers(config_path):
        yield _Running(config_path)
        return
    from agent.clock import SystemClock
    from agent.config import state_dir
    from agent.outbox.idle import opened_idle

    file = find_file(config_path)
    config = load_config(file)
    with idle_outbox_or_end(), opened_idle(state_dir(config, file), SystemClock()) as outbox:
        yield _Idle(outbox, config)


def _agent_answers(config_path: Path | None) -> bool:
    from agent.control_client import NoAgent, NotAllowed

    try:
        ask(config_path, "GET", "/api/v1/agent")
    except NotAllowed as kept_out:
        end(str(kept_out), UNHEALTHY)
    except NoAgent:
        return False
    return True


class _Running:
    def __init__(self, config_path: Path | None) -> None:
        self._config_path = config_path

    def newest(self, words: Words, limit: int, before: int) -> dict[str, Any]:
        return self._find(words, limit=limit, before=before)

    def oldest(self, words: Words, limit: int, after: int) -> dict[str, Any]:
        return self._find(words, limit=limit, after=after, bodies="true")

    def show(self, event_id: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask("GET", f"/api/v1/events/{quote(event_id, safe='')}")["events"]
        return found

    def matching(self, words: Words) -> dict[str, int]:
        found: dict[str, int] = self._ask("GET", f"/api/v1/events/matching?{urlencode(words)}")
        return found

    def move(self, command: str, words: Words, after: int, upto: int) -> dict[str, Any]:
        times: dict[str, Any] = {word: float(words[word]) for word in ("since", "until") if word in words}
        body: dict[str, Any] = {**words, **times, "after": after, "upto": upto}
        moved: dict[str, Any] = self._ask("POST", f"/api/v1/events/{command}", body)
        return moved

    def webhooks(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = self._ask("GET", "/api/v1/webhooks")["webhooks"]
        return found

    def _find(self, words: Words, **page: int | str) -> dict[str, Any]:
        found: dict[str, Any] = self._ask("GET", f"/api/v1/events?{urlencode({**words, **page})}")
        return found

    def _ask(self, method: str, target: str, body: Any = None) -> Any:
        from agent.control_client import NoAgent, NotAllowed

        try:
            return ask(self._config_path, method, target, body)
        except (NoAgent, NotAllowed) as nobody:  # it ended meanwhile
            end(str(nobody), UNHEALTHY)


class _Idle:
    def __init__(self, outbox: "IdleOutbox", config: "Config") -> None:
        self._outbox, self._config = outbox, config

    def newest(self, words: Words, limit: int, before: int) -> dict[str, Any]:
        return self._find(words, limit, after=0, upto=before - 1, newest=True)

    def oldest(self, words: Words, limit: int, after: int) -> dict[str, Any]:
        return self._find(words, limit, after=after, upto=None, newest=False)

    def show(self, event_id: str) -> list[dict[str, Any]]:
        from agent.status.events import whole_of

        found = self._outbox.whole(event_id)
        if not found:
            end(f"there is no event {event_id}, or no more", USAGE)
        now, known = self._outbox.moment.at, self._config.webhooks
        return [asdict(whole_of(letter, now, known.get(letter.webhook))) for letter in found]

    def matching(self, words: Words) -> dict[str, int]:
        return self._outbox.matching(_filter(words))._asdict()

    def move(self, command: str, words: Words, after: int, upto: int) -> dict[str, Any]:
        from agent.outbox import Span

        span, wanted = Span(after, upto), _filter(words)
        if command == "replay":
            return self._outbox.replay(wanted.to_replay(), span, self._config.expires_s())._asdict()
        return self._outbox.discard(wanted.to_discard(), span)._asdict()

    def webhooks(self) -> dict[str, dict[str, Any]]:
        from agent.status.events import standing_of

        now, known = self._outbox.moment.at, self._config.webhooks
        standings = self._outbox.standings().items()
        return {
            name: asdict(standing_of(one, counters, now, known=name in known)) for name, (one, counters) in standings
        }

    def _find(self, words: Words, limit: int, *, after: int, upto: int | None, newest: bool) -> dict[str, Any]:
        from agent.outbox import Span
        from agent.status.events import page_of

        found = self._outbox.find(_filter(words), Span(after, upto), limit, newest=newest, bodies=not newest)
        return asdict(page_of(found, limit, self._outbox.moment.at, self._config.webhooks))


def _filter(words: Words) -> "Filter":
    from agent.outbox import Filter

    try:
        return Filter.parse(words)
    except ValueError as error:
        end(str(error), USAGE)
