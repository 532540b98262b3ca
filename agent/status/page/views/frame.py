"""What all views share: states as badges, links, times, who looks from where, and what stands around a page."""

from collections.abc import Mapping
from datetime import tzinfo
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from agent.status.page import texts
from agent.status.snapshot import Snapshot


class Badge(NamedTuple):
    """A state: told by a word, a symbol and a colour."""

    word: str
    symbol: str
    kind: str
    """ok, warn, bad or calm: the colour."""


_OK, _WAIT, _WARN, _BAD, _CALM = ("✓", "ok"), ("…", "warn"), ("!", "warn"), ("▲", "bad"), ("·", "calm")
_BADGES = {
    "well": ("✓", "ok"),
    "alert": _BAD,
    "trouble": _WARN,
    # rules
    "ok": _OK,
    "pending": _WAIT,
    "firing": _BAD,
    "recovering": ("↓", "warn"),
    # webhooks
    "answering": _OK,
    "resting": _WAIT,
    "failing": _WARN,
    "misconfigured": ("✕", "bad"),
    "disabled": ("✕", "bad"),
    # sources
    "open": _OK,
    "connecting": _WAIT,
    "lost": ("✕", "bad"),
    "refused": ("✕", "bad"),
    # deliveries
    "delivered": _OK,
    "dead": ("✕", "bad"),
    # events
    "repeated": _BAD,
    "resolved": _OK,
}
_SEVERITIES = {"critical": ("▲", "bad"), "warning": _WARN, "info": ("i", "calm")}


def badge(state: str) -> Badge:
    """Of a state of anything; one that is not known is shown calmly."""
    return Badge(state, *_BADGES.get(state, _CALM))


def calm(word: str) -> Badge:
    """Of what is neither good nor bad."""
    return Badge(word, *_CALM)


def severity(word: str) -> Badge:
    """Of a rule."""
    return Badge(word, *_SEVERITIES[word])


def link(root: str, *segments: str, **words: Any) -> str:
    """A path; segments and words may be anything. Empty words are left out."""
    query = urlencode({word: value for word, value in words.items() if value not in (None, "", 0)}, errors="replace")
    path = "/".join(map(_quoted, segments))
    return f"{root}/{path}{'?' if query else ''}{query}"


@lru_cache(maxsize=8192)
def _quoted(segment: str) -> str:
    return quote(segment, safe="", errors="replace")


class Here(NamedTuple):
    """Who looks, when, and from where."""

    wall: float
    """Unix seconds."""
    zone: tzinfo
    root: str
    may_change: bool
    view: str
    """Of `pages`: its name and words are how the stream of live parts is asked for. Empty: nothing of it lives."""
    words: tuple[tuple[str, str], ...]
    path: str
    """Of this page, with what it was asked with."""

    def link(self, *segments: str, **words: Any) -> str:
        """A path of another one."""
        return link(self.root, *segments, **words)

    def time(self, wall: float) -> "Time":
        """A time for people and for machines."""
        return Time(texts.time_with_day(wall, self.wall, self.zone), texts.iso(wall, self.zone))


class Time(NamedTuple):
    """For a `<time>`."""

    text: str
    iso: str


class Notice(NamedTuple):
    """What the form before has done."""

    sentence: str
    webhook: str
    """As the path names it: a stranger may have written it."""

    def text(self, snapshot: Snapshot) -> str:
        """With the name of a webhook only where there is one of it."""
        return f"{self.webhook}: {self.sentence}" if self.webhook in snapshot.webhooks else self.sentence


def frame(snapshot: Snapshot, here: Here, notice: Notice | None = None) -> dict[str, Any]:
    """What stands around a page."""
    verdict = snapshot.verdict()
    return {
        "here": here,
        "agent": snapshot.agent,
        "as_of": Time(texts.time_of_day(here.wall, here.zone), texts.iso(here.wall, here.zone)),
        "headline": badge(verdict.word),
        "live_path": here.link("live", view=here.view, **dict(here.words)) if here.view else "",
        "notice": notice and notice.text(snapshot),
    }


def sensor_link(name: str, here: Here) -> str | None:
    """None for what is no sensor: a compound rule, a source, the agent."""
    return None if ":" in name.partition(".")[0] or "." not in name else here.link("sensors", name)


def minute(wall: float, here: Here) -> Time:
    """A time that was reckoned from an age: to the minute, so that it stands still."""
    at = wall // 60 * 60
    shown = here.time(at)
    return Time(shown.text[:-3], shown.iso)


def counted(counts: Mapping[str, int]) -> str:
    """`3 null, 1 invalid`; what is zero is left out."""
    return ", ".join(f"{n} {word.replace('_', ' ')}" for word, n in counts.items() if n)
