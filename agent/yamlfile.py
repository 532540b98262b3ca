"""A YAML 1.2 file as plain values, each with the place where it stands; and plain values as YAML.

ruamel.yaml composes the nodes; what is made of them is decided here: no code, no dates, no merge keys, no
aliases that explode.
"""

import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from agent.yamlhints import explain

FILE_BYTES_MAX = 256 * 1024
NODES_MAX = 50_000
DEPTH_MAX = 32
_STANDARD = "tag:yaml.org,2002:"
_KINDS = frozenset({"null", "bool", "int", "float", "str", "map", "seq", "timestamp", "value"})
"""The standard tags that are taken, spelt out or found by YAML itself; a timestamp and a lone `=` stay text."""


Path_ = tuple[str | int, ...]


class Place(NamedTuple):
    """Line and column, both from 1."""

    line: int
    column: int


class YamlProblem(Exception):
    """What is wrong, and where; of a text that is no YAML the path is what its indentation tells."""

    def __init__(self, message: str, place: Place, path: Path_ = ()) -> None:
        super().__init__(message, place)
        self.message, self.place, self.path = message, place, path


Tag = Callable[[str, Place], Any]
"""What a tag such as `!secret` makes of the text behind it. Raises ValueError."""


class Document(NamedTuple):
    """The values, where each stands, and what was wrong with single ones."""

    value: Any
    places: Mapping[Path_, Place]
    problems: list[tuple[Path_, YamlProblem]]
    tagged: frozenset[Path_]
    """Values that came from a tag."""


def load(path: Path, tags: Mapping[str, Tag]) -> Document:
    """Read a file. Raises YamlProblem where nothing can be made of it, OSError."""
    node = _compose(path)
    if node is None:
        raise YamlProblem("the file is empty", Place(1, 1))
    builder = _Builder(tags)
    value = builder.build(node, (), 0)
    return Document(value, builder.places, builder.problems, frozenset(builder.tagged))


def dump(value: Any) -> str:
    """Plain values as YAML that `load` takes for the same."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.width = 10_000
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    text = io.StringIO()
    yaml.dump(value, text)
    return text.getvalue()


def _compose(path: Path) -> Node | None:
    with path.open("rb") as file:
        raw = file.read(FILE_BYTES_MAX + 1)
    if len(raw) > FILE_BYTES_MAX:
        raise YamlProblem(f"the file is larger than {FILE_BYTES_MAX // 1024} KiB", Place(1, 1))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise YamlProblem("the file is not UTF-8", Place(line, 1)) from None
    for number, line_text in enumerate(_lines(text), 1):
        if line_text.startswith("%"):
            raise YamlProblem("a YAML directive (%...) is not allowed", Place(number, 1))
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _ShallowComposer
    yaml.allow_duplicate_keys = True  # told by the builder, with all other problems
    try:
        nodes = list(yaml.compose_all(text))
    except MarkedYAMLError as error:
        hint = explain(error, _lines(text))
        raise YamlProblem(hint.message, Place(hint.line, hint.column), hint.path) from None
    except ReaderError as error:
        raise YamlProblem("a control character, which YAML does not allow", _place_of(text, error.position)) from None
    except (YAMLError, RecursionError, ValueError, IndexError, AttributeError, TypeError) as error:
        raise YamlProblem(f"not YAML: {error}", Place(1, 1)) from None
    if len(nodes) > 1:
        raise YamlProblem("more than one document (---) in the file", _place(nodes[1].start_mark))
    return nodes[0] if nodes else None


class _ShallowComposer(Composer):
    """Ends before a text of many brackets has used up the stack."""

    _depth = -1

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader)
        self.warn_double_anchors = False  # YAML allows them (1.2, 3.2.2.2)

    def compose_node(self, parent: Any, index: int) -> Any:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise YamlProblem(f"nested deeper than {DEPTH_MAX}", _place(self.parser.peek_event().start_mark))
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Builder:
    def __init__(self, tags: Mapping[str, Tag]) -> None:
        self._tags = tags
        self._nodes = 0
        self.places: dict[Path_, Place] = {}
        self.problems: list[tuple[Path_, YamlProblem]] = []
        self.tagged: set[Path_] = set()

    def build(self, node: Node, path: Path_, depth: int) -> Any:
        place = self.places[path] = _place(node.start_mark)
        self._nodes += 1
        if self._nodes > NODES_MAX:
            raise YamlProblem(f"more than {NODES_MAX:,} values: do aliases explode?", place)
        if depth > DEPTH_MAX:
            raise YamlProblem(f"nested deeper than {DEPTH_MAX}", place)
        tag = str(node.tag)
        if not tag.startswith(_STANDARD) or tag.removeprefix(_STANDARD) not in _KINDS:
            return self._tag(node, tag, path, place)
        if isinstance(node, MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, SequenceNode):
            return [self.build(member, (*path, i), depth + 1) for i, member in enumerate(node.value)]
        assert isinstance(node, ScalarNode)  # noqa: S101  # there are three kinds
        return self._scalar(node, path, place)

    def _mapping(self, node: MappingNode, path: Path_, depth: int) -> dict[str, Any]:
        built: dict[str, Any] = {}
        for key_node, member in node.value:
            place = _place(key_node.start_mark)
            if not isinstance(key_node, ScalarNode):
                hint = "a text that begins with { or [ has to be in quotes"
                self._wrong(path, f"a key that is no plain text ({hint})", place)
                continue
            key = str(key_node.value)
            if str(key_node.tag) == _STANDARD + "merge":
                self._wrong((*path, "<<"), "YAML 1.2 has no merge keys: write out what it brings", place)
                continue
            if key in built:
                self._wrong((*path, key), "stands twice", place)
                continue
            if not _is_unicode(key):
                self._wrong(path, "a key that is no valid Unicode", place)
                continue
            built[key] = self.build(member, (*path, key), depth + 1)
            if isinstance(member, MappingNode | SequenceNode) or _is_nothing(member):
                self.places[(*path, key)] = place
        return built

    def _scalar(self, node: ScalarNode, path: Path_, place: Place) -> Any:
        kind, text = str(node.tag).removeprefix(_STANDARD), str(node.value)
        try:
            match kind:
                case "null":
                    return None
                case "bool":
                    return text.lower() == "true"
                case "int":
                    return _integer(text)
                case "float":
                    return _float(text)
        except ValueError:
            self._wrong(path, "not a number", place)
        if not _is_unicode(text):
            self._wrong(path, "a text that is no valid Unicode", place)
        return text

    def _tag(self, node: Node, tag: str, path: Path_, place: Place) -> Any:
        make = self._tags.get(tag)
        if make is None:
            self._wrong(path, self._unknown_tag(tag), place)
            return None
        if not isinstance(node, ScalarNode):
            self._wrong(path, f"{tag} takes one word", place)
            return None
        self.tagged.add(path)
        try:
            made = make(str(node.value), place)
        except ValueError as error:
            self._wrong(path, str(error), place)
            return None
        if not _is_unicode(str(made)):
            self._wrong(path, "what its tag stands for is no valid Unicode", place)
        return made

    def _unknown_tag(self, tag: str) -> str:
        """Without the tag itself, as it may be a password that begins with an exclamation mark."""
        from difflib import get_close_matches  # only who mistypes needs it

        near = get_close_matches(tag, self._tags, 1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(self._tags) or 'none'}"
        return f"unknown tag: {hint} (A text that begins with ! has to be in quotes.)"

    def _wrong(self, path: Path_, message: str, place: Place) -> None:
        self.problems.append((path, YamlProblem(message, place)))


def _is_nothing(node: Node) -> bool:
    """Whether nothing stands behind a key; the parser's place of that is where the next thing begins."""
    return isinstance(node, ScalarNode) and node.value == "" and str(node.tag) == _STANDARD + "null"


def _is_unicode(text: str) -> bool:
    """Whether there is no half of a surrogate pair in it, which no receiver could be told."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _integer(text: str) -> int:
    text = text.replace("_", "")
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-").lower()
    for prefix, base in (("0x", 16), ("0o", 8), ("0b", 2)):
        if digits.startswith(prefix):
            return sign * int(digits[2:], base)
    return sign * int(digits)


def _float(text: str) -> float:
    lowered = text.replace("_", "").lower()
    return float(
        lowered.replace(".inf", "inf").replace(".nan", "nan") if "inf" in lowered or "nan" in lowered else lowered
    )


def _place(mark: Any) -> Place:
    return Place(1, 1) if mark is None else Place(mark.line + 1, mark.column + 1)


def _place_of(text: str, position: int) -> Place:
    before = text[:position]
    return Place(before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1)


def _lines(text: str) -> list[str]:
    """As the parser counts them; `splitlines` would break at a form feed too."""
    return re.split(r"\r\n|[\r\n\x85\u2028\u2029]", text)
