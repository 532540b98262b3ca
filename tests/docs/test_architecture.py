"""docs/architecture.md draws the house as the imports have it."""

from tests.docs.house import PAGE, diagram, entries_apart, imported
from tests.docs.pages import blocks


def test_the_diagram_is_what_the_imports_say() -> None:
    (drawn,) = [block.text for block in blocks("mermaid") if block.page.endswith(PAGE.name)]
    assert drawn == diagram(), "draw it anew: python -m tests.docs.house"


def test_every_room_below_the_peoples_side_is_drawn() -> None:
    assert entries_apart() == set(), "add it to ROOMS in tests/docs/house.py"


def test_no_arrow_leads_both_ways() -> None:
    arrows = imported()
    assert [(here, there) for here, there in arrows if (there, here) in arrows] == []
