"""The pages of the project as Markdown: fenced blocks, headings and links."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("tests/samples/*.md")])
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A fenced block."""

    page: str
    """Its path below the root."""
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_whole_file(self) -> bool:
        """A configuration as it stands; other YAML is a fragment of one (`configurations.py`)."""
        return self.language == "yaml" and self.text.startswith("version:")


class Command(NamedTuple):
    """One program with its arguments, as it stands in a shell block."""

    block: Block
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.block.page}: {' '.join(self.words)}"


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(*languages: str) -> list[Block]:
    """Of all pages; of all languages if none is named."""
    return [block for page in PAGES for block in _blocks_of(page) if not languages or block.language in languages]


def whole_files() -> list[str]:
    """The YAML blocks that are configurations as they stand."""
    return [block.text for block in blocks("yaml") if block.is_whole_file]


def _blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in _FENCED.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield Block(str(page.relative_to(ROOT)), line, found[1], found[2])


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCED.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """What `#` may be followed by in a link to it, as GitHub makes it of the headings."""
    headings = re.findall(r"^#+ +(.+?) *$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    """The targets of its links and images."""
    text = re.sub(r"`[^`]*`", "", prose(page))
    return [*re.findall(r"\]\(([^)\s]+)\)", text), *re.findall(r'src="([^"]+)"', text)]


def rows(page: str, first_header: str) -> list[list[str]]:
    """The cells of the table whose first header is this, without the header."""
    found = re.search(rf"^\| {re.escape(first_header)} \|.*\n\|[-| ]+\|\n((?:\|.*\n)+)", read(page), re.MULTILINE)
    assert found, f"{page} has no table of {first_header}"
    lines = found[1].splitlines()
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
