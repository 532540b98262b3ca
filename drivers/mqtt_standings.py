"""How the sources of one broker and their devices stand, and the Presences that tell of it. No I/O."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from drivers.base import FeedState, Presence, SourceState

_NAMED_MAX = 3
"""So many devices that are away are named to people."""


@dataclass(slots=True)
class _Source:
    granted: bool = False
    refused: str | None = None
    hint: str = ""
    away: set[str] = field(default_factory=set)
    """Prefixes that are said to be away; kept over a lost connection."""


class Standings:
    """Facts come in as they happen; what a method returns is to be yielded in that order."""

    def __init__(self, sources: Iterable[str]) -> None:
        self._sources = {name: _Source() for name in sources}
        self._feed = SourceState(FeedState.CONNECTING)

    def connecting(self) -> None:
        """A new connection: nothing is granted yet."""
        self._feed = SourceState(FeedState.OPEN)
        for source in self._sources.values():
            source.granted, source.refused, source.hint = False, None, ""

    def lost(self, why: str) -> None:
        """The connection is gone. Whoever runs the driver tells of it."""
        self._feed = SourceState(FeedState.LOST, why)

    def granted(self, at: float, names: Iterable[str]) -> list[Presence]:
        """The subscriptions of some sources stand."""
        for name in names:
            self._sources[name].granted = True
        return self._presences(at, names)

    def refused(self, at: float, names: Iterable[str], why: str) -> list[Presence]:
        """The broker does not give some sources."""
        for name in names:
            self._sources[name].refused = why
        return self._presences(at, names)

    def unwatched(self, names: Iterable[str], why: str) -> None:
        """The broker does not give the availability of some sources."""
        for name in names:
            self._sources[name].hint = why

    def said(self, at: float, name: str, prefix: str, *, online: bool) -> list[Presence]:
        """A source, or one device of it, is there or away."""
        away = self._sources[name].away
        if online:
            away.discard(prefix)
        else:
            away.add(prefix)
        if prefix == name:
            return self._presences(at, [name])
        return [Presence(at, name, prefix, FeedState.OPEN if online else FeedState.OFFLINE)]

    def paused(self, at: float) -> list[Presence]:
        """The agent reads no more for now."""
        self._feed = SourceState(FeedState.PAUSED, "more comes than the agent can keep up with")
        return self._presences(at, self._sources)

    def resumed(self, at: float) -> list[Presence]:
        """It reads again."""
        if self._feed.state is not FeedState.PAUSED:
            return []
        self._feed = SourceState(FeedState.OPEN)
        return self._presences(at, self._sources)

    def states(self) -> Mapping[str, SourceState]:
        """The state of each source."""
        return {name: self._state(name) for name in self._sources}

    def _state(self, name: str) -> SourceState:
        source = self._sources[name]
        if self._feed.state in (FeedState.LOST, FeedState.CONNECTING):
            return self._feed
        if source.refused is not None:
            return SourceState(FeedState.REFUSED, source.refused)
        if not source.granted:
            return SourceState(FeedState.CONNECTING)
        if self._feed.state is FeedState.PAUSED:
            return self._feed
        if name in source.away:
            return SourceState(FeedState.OFFLINE, "its availability topic says so")
        return SourceState(FeedState.OPEN, source.hint or _away(source.away))

    def _presences(self, at: float, names: Iterable[str]) -> list[Presence]:
        """How some sources stand, and then their devices that are away: those of a source that is open."""
        found = []
        for name in names:
            state, detail = self._state(name)
            if state in (FeedState.LOST, FeedState.CONNECTING):
                continue
            found.append(Presence(at, name, name, state, detail))
            if state is FeedState.OPEN:
                found += [Presence(at, name, prefix, FeedState.OFFLINE) for prefix in sorted(self._sources[name].away)]
        return found


def _away(prefixes: Iterable[str]) -> str:
    away: Sequence[str] = sorted(prefixes)
    if not away:
        return ""
    more = f" and {len(away) - _NAMED_MAX} more" if len(away) > _NAMED_MAX else ""
    return f"away: {', '.join(away[:_NAMED_MAX])}{more}"
