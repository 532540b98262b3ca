"""Templates to HTML, and which parts of it live.

A template marks what may change by `{% call live("sensor-1-age", "td") %}...{% endcall %}`: an element with this id,
whose inner HTML is noted while it is rendered. So one template says how a page begins and how it goes on. A page is
rendered each second: what stands in `{% call kept("sensor-1", row) %}` is rendered anew only where the row is another.
"""

from collections.abc import Callable, Mapping
from functools import cache, lru_cache, partial
from hashlib import blake2s
from importlib.resources import files
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import Markup, escape

from agent.status.page.texts import cut, lasting, visible, visible_lines
from agent.status.words import size

if TYPE_CHECKING:
    import jinja2

_KEPT_MAX = 1000
"""Rows that are kept as they were rendered: those that were shown last."""


class Rendered(NamedTuple):
    """A page, and its live parts."""

    html: str
    regions: Mapping[str, str]
    """id -> inner HTML"""


class Templates:
    """Compiled once, at their first use."""

    def __init__(self, root: str) -> None:
        """`root`: what stands before all paths, such as `/bellcrank`; empty: nothing."""
        self._root = root
        self._kept: dict[str, _Kept] = {}

    def render(self, name: str, facts: Mapping[str, Any]) -> Rendered:
        """Fill a template with what a view has made ready."""
        regions: dict[str, str] = {}
        live, kept = partial(_live, regions), partial(_rows, regions, self._kept, name)
        html = _environment().get_template(name).render(facts, root=self._root, live=live, kept=kept)
        return Rendered(html, regions)


class _Kept(NamedTuple):
    """A row as it was rendered last."""

    of: Any
    html: str
    regions: Mapping[str, str]


def _live(regions: dict[str, str], name: str, tag: str = "div", *, caller: Callable[[], str], **attributes: str) -> str:
    """Note what a live part holds."""
    inner = regions[name] = str.strip(caller())
    return f"{_opening(tag, name, **attributes)}{inner}</{tag}>"


def _rows(
    regions: dict[str, str], kept: dict[str, _Kept], template: str, name: str, of: Any, *, caller: Callable[[], str]
) -> str:
    """A row, rendered anew only where what it is made of has changed."""
    name = f"{template} {name}"
    before = kept.pop(name, None)
    if before is None or before.of != of:
        known = len(regions)
        html = str(caller())
        before = _Kept(of, html, dict(islice(regions.items(), known, None)))
    kept[name] = before
    while len(kept) > _KEPT_MAX:
        del kept[next(iter(kept))]
    regions.update(before.regions)
    return before.html


@cache
def _environment() -> "jinja2.Environment":
    import jinja2  # 2 MiB, which an agent whose page nobody opens does without

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=True,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
    )
    environment.filters |= {"lasting": lasting, "size": size, "cut": cut, "lines": _lines, "key": key}
    return environment


@lru_cache(maxsize=8192)
def _opening(tag: str, name: str, **attributes: str) -> str:
    more = "".join(f' {word.rstrip("_").replace("_", "-")}="{escape(value)}"' for word, value in attributes.items())
    return f'<{tag} id="{escape(name)}" data-live{more}>'


@lru_cache(maxsize=8192)
def key(name: str) -> str:
    """An id for whatever a sensor may be called."""
    return blake2s(name.encode(errors="surrogatepass"), digest_size=6).hexdigest()


def _finalize(value: Any) -> Any:
    """Nothing that is shown acts on its surroundings, be it forgotten or not where it is shown."""
    return visible(value) if type(value) is str else value


def _lines(text: str) -> Markup:
    """A text of several lines, for a `pre`."""
    return escape(visible_lines(text))


def _source(name: str) -> str | None:
    path = files("agent.status") / "templates" / name
    return path.read_text(encoding="utf-8") if path.is_file() else None
