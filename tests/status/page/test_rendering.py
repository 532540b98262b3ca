"""Which rows are rendered anew."""

import pytest

from agent.status.page import rendering
from agent.status.page.rendering import _Kept, _rows


def test_of_rows_that_are_kept_those_go_first_that_were_not_shown_for_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "_KEPT_MAX", 2)
    kept: dict[str, _Kept] = {}
    rendered: list[str] = []

    def show(name: str) -> str:
        def render() -> str:
            rendered.append(name)
            return f"<{name}>"

        return _rows({}, kept, "page.html", name, 1, caller=render)

    assert [show(name) for name in ("a", "b", "a", "c", "a", "b")] == ["<a>", "<b>", "<a>", "<c>", "<a>", "<b>"]
    assert rendered == ["a", "b", "c", "b"]
    assert len(kept) == 2
