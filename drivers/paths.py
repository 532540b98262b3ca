"""What the configuration says of the shape of a message: its format, and paths to the values in it.

A path is text (`a.b.0`: in JSON dots lead into objects and lists, elsewhere the text is one key as it
stands), a number (the place in a list), or a list of both for keys with dots, colons or slashes. What a path
is in each format stands in `path_steps`, which paths a format cannot have in `wrong_path`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    PlainValidator,
    StringConstraints,
    Tag,
    field_validator,
    model_validator,
)

from drivers.patterns import compile_pattern
from drivers.settings import Settings

_PATH_MAX = 512
_INDEX_MAX = 999_999
_NOT_A_PATH = "has to be a path: text such as a.b, or a list such as [params, 'temperature:0', tC]"

Step = str | int
Steps = tuple[Step, ...]


def parse_path(given: Any) -> str | int | Steps:
    """A path as it was written, checked. Raises ValueError that says what would be valid."""
    steps = given if isinstance(given, list | tuple) else [given]
    if not steps or not all(_is_step(step) for step in steps) or given == "":
        raise ValueError(_NOT_A_PATH)
    if len(steps) > _PATH_MAX or any(len(step) > _PATH_MAX for step in steps if isinstance(step, str)):
        raise ValueError(f"a path has at most {_PATH_MAX} characters")
    return tuple(steps) if isinstance(given, list | tuple) else steps[0]


def _is_step(step: Any) -> bool:
    return isinstance(step, str) or (type(step) is int and 0 <= step <= _INDEX_MAX)


Path = Annotated[str | int | Steps, PlainValidator(parse_path, json_schema_input_type=str | int | list[str | int])]


AttributeName = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Attributes = Sequence[str | int | Steps] | Mapping[str, str | int | Steps]
"""Paths, named by their last part, or names with their paths."""
ConfiguredAttributes = Annotated[
    Annotated[list[Path], Tag("list")] | Annotated[dict[AttributeName, Path], Tag("mapping")],
    Discriminator(lambda given: "mapping" if isinstance(given, dict) else "list"),
]


class Csv(Settings):
    """`csv:` of a format."""

    delimiter: str = ","
    columns: list[str] | None = Field(default=None, min_length=1)
    """The names of the fields in a line, all of them; None: they are numbered from 0."""

    @field_validator("delimiter")
    @classmethod
    def _is_one_character(cls, delimiter: str) -> str:
        if len(delimiter) != 1 or delimiter in '"\r\n\0':
            raise ValueError('has to be one character, such as "," ";" or "\\t"')
        return delimiter

    @field_validator("columns")
    @classmethod
    def _have_names(cls, columns: list[str] | None) -> list[str] | None:
        twice = sorted({name for name in columns or () if (columns or []).count(name) > 1})
        if twice:
            raise ValueError(f"the column {twice[0]!r} stands twice")
        if "" in (columns or ()):
            raise ValueError("a column needs a name")
        return columns


class CsvFormat(Settings):
    """`format: {csv: ...}`, or the word alone."""

    csv: Csv

    @model_validator(mode="before")
    @classmethod
    def _the_word_csv(cls, given: Any) -> Any:
        return {"csv": {}} if given == "csv" else given


class RegexFormat(Settings):
    """`format: {regex: ...}`: the named groups are the paths."""

    regex: str

    @field_validator("regex")
    @classmethod
    def _is_harmless_and_names_groups(cls, regex: str) -> str:
        if not compile_pattern(regex).compiled.groupindex:
            raise ValueError("names no group: what is in (?P<t>...) is found by the path t")
        return regex

    @property
    def groups(self) -> list[str]:
        """What a path can be."""
        return list(compile_pattern(self.regex).compiled.groupindex)


Word = Literal["json", "keyvalue", "number", "text"]
_WORDS = ("json", "keyvalue", "number", "text")


def _kind_of_format(given: Any) -> str | None:
    if isinstance(given, CsvFormat | RegexFormat):
        return "csv" if isinstance(given, CsvFormat) else "regex"
    if isinstance(given, str):
        return "word" if given in _WORDS else "csv" if given == "csv" else None
    keys = list(given) if isinstance(given, dict) else []
    return keys[0] if keys in (["csv"], ["regex"]) else None


Format = Annotated[
    Annotated[Word, Tag("word")] | Annotated[CsvFormat, Tag("csv")] | Annotated[RegexFormat, Tag("regex")],
    Discriminator(
        _kind_of_format,
        custom_error_type="format",
        custom_error_message="has to be json, keyvalue, number, text, csv, {csv: {delimiter: ..., columns: [...]}}"
        " or {regex: '...'}",
    ),
]


def path_steps(path: str | int | Steps | None, format_: Format) -> Steps:
    """The keys and indexes that a path leads through; none is the whole payload."""
    if path is None:
        return ()
    if isinstance(path, tuple):
        return path
    return tuple(path.split(".")) if isinstance(path, str) and format_ == "json" else (path,)


def attribute_paths(attributes: Attributes, format_: Format) -> Sequence[tuple[str, str | int | Steps]]:
    """The name and the path of each attribute."""
    if isinstance(attributes, Mapping):
        return list(attributes.items())
    return [(str(path_steps(path, format_)[-1]), path) for path in attributes]


def wrong_path(path: str | int | Steps | None, format_: Format) -> str | None:
    """Why a path cannot be one in this format, and what would be; None: it can."""
    steps = path_steps(path, format_)
    if format_ == "json":
        empty = isinstance(path, str) and "" in steps
        return (
            "has an empty part: write a path with empty keys or dots in its keys as a list, [a, 'b.c']"
            if empty
            else None
        )
    if format_ in ("number", "text"):
        return f"a payload of the format {format_} is one value: no path leads into it" if steps else None
    if len(steps) != 1:
        problem = "has to be one name in this format" if steps else "is missing, and this format has no whole value"
        return f"{problem}: {_known_paths(format_)}"
    return _unknown_step(steps[0], format_)


def _unknown_step(step: Step, format_: Format) -> str | None:
    if isinstance(format_, CsvFormat) and format_.csv.columns is None:
        numbered = isinstance(step, int) or (step.isdecimal() and step.isascii())
        return None if numbered else "without `columns` the fields are numbered: 0 is the first"
    if not isinstance(step, str):
        return "has to be text here: put it in quotes"
    if isinstance(format_, str) or step in _paths(format_):
        return None
    return f"{step!r} is no {'column' if isinstance(format_, CsvFormat) else 'named group'}: {_known_paths(format_)}"


def _paths(format_: Format) -> Iterable[str]:
    if isinstance(format_, CsvFormat):
        return format_.csv.columns or ()
    return format_.groups if isinstance(format_, RegexFormat) else ()


def _known_paths(format_: Format) -> str:
    known = ", ".join(_paths(format_))
    return (
        f"known: {known}"
        if known
        else "the key, such as T"
        if format_ == "keyvalue"
        else "the number of the field, such as 0"
    )
