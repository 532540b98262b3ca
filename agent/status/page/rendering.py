"""Templates to HTML, and which parts of it live.

A template marks what may change by `{% call live("sensor-1-age", "td") %}...{% endcall %}`: an element with this id,
whose inner HTML is noted while it is rendered. So one template says how a page begins and how it goes on.
"""

from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from hashlib import blake2s
from importlib.resources import files
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup, escape

from agent.status.page.texts import cut, lasting, visible, visible_lines
from agent.status.words import size


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

    def render(self, name: str, facts: Mapping[str, Any]) -> Rendered:
        """Fill a template with what a view has made ready."""
        regions = _Regions()
        html = _environment().get_template(name).render(facts, root=self._root, live=regions)
        return Rendered(html, regions)


@cache
def _environment() -> jinja2.Environment:
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


class _Regions(dict[str, str]):
    """What the live parts hold, by their ids; called by the template."""

    def __call__(self, name: str, tag: str = "div", *, caller: Callable[[], str], **attributes: str) -> Markup:
        inner = caller().strip()
        self[name] = inner
        more = "".join(f' {word.rstrip("_").replace("_", "-")}="{escape(value)}"' for word, value in attributes.items())
        return Markup(f'<{tag} id="{escape(name)}" data-live{more}>{inner}</{tag}>')  # noqa: S704 all parts are escaped


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
