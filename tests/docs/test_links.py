"""What the pages point at is there."""

from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, anchors, links

RELATIVE = [(page, link) for page in PAGES for link in links(page) if "://" not in link]


@pytest.mark.parametrize(("page", "link"), RELATIVE, ids=[f"{page.name}: {link}" for page, link in RELATIVE])
def test_a_relative_link_leads_to_a_file_and_a_heading(page: Path, link: str) -> None:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    assert target.exists(), f"{path} is not there"
    assert target.is_relative_to(ROOT)
    if anchor:
        assert anchor in anchors(target), f"{target.name} has no heading for #{anchor}"


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_each_page_of_the_docs_is_found_from_the_readme(page: Path) -> None:
    seen, left = set[Path](), [ROOT / "README.md"]
    while left:
        here = left.pop()
        if here not in seen and here.suffix == ".md" and here.exists():
            seen.add(here)
            left += [(here.parent / link.partition("#")[0]).resolve() for link in links(here) if "://" not in link]
    assert page in seen
