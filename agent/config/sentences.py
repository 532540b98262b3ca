"""What pydantic refuses, in words for people: where it stands, what is wrong, what would be valid."""

from collections.abc import Iterable, Iterator
from typing import Any

from agent.config import hints
from agent.config.kinds import known_keys
from agent.config.suggestions import unknown
from agent.config.values import Where, member, value_at
from agent.yamlfile import Document
from drivers.registry import driver_classes

_NEED = "has to be "
_WRONG_KINDS = {
    "string_type": "has to be text",
    "int_type": "has to be an integer",
    "float_type": "has to be a number",
    "bool_type": "has to be true or false",
    "dict_type": "has to be a mapping (`key: value` lines)",
    "list_type": "has to be a list (`- item` lines, or [ ])",
    "too_short": "is empty",
    "model_type": "has to be a mapping (`key: value` lines)",
    "model_attributes_type": "has to be a mapping (`key: value` lines)",
}


def sentences(details: Iterable[Any], document: Document) -> Iterator[tuple[Where, str]]:
    """What is wrong, and where, of the errors that pydantic tells of a document (`ValidationError.errors`)."""
    unreadable = {path for path, _ in document.problems if path}
    told: dict[Where, list[str]] = {}
    for detail in details:
        where = place_of(detail, document.value)
        if any(where[: len(path)] == path for path in unreadable):
            continue  # which has been told
        told.setdefault(where, []).append(_sentence(detail, where, document.value))
    for where, several in told.items():
        for sentence in _joined(several):
            yield where, sentence + _quotes(sentence, where, document)


def place_of(detail: Any, value: Any) -> Where:
    """The path in the file: without the words that pydantic adds for unions and validators."""
    found: list[str | int] = []
    inner, loc = value, detail["loc"]
    for i, step in enumerate(loc):
        if len(found) == i == 2 and loc[0] == "sources" and step == member(inner, "driver"):
            continue  # the discriminator
        if isinstance(inner, dict):
            absent = step not in inner and not (detail["type"] == "missing" and i == len(loc) - 1)
        else:
            absent = not (isinstance(inner, list) and isinstance(step, int))
        if not absent:
            found.append(step)
            inner = member(inner, step)
    if detail["type"] in ("union_tag_invalid", "union_tag_not_found"):
        found.append("driver")
    return tuple(found)


def _sentence(detail: Any, where: Where, document: Any) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if detail["loc"] and detail["loc"][-1] == "[key]":
        return "a name has 1 to 64 letters, digits, - or _"
    match kind:
        case "extra_forbidden":
            return _unknown_key(where, document)
        case "missing":
            return "is missing" + (": write `version: 1` as the first line" if where == ("version",) else "")
        case "union_tag_invalid":
            return unknown("driver", str(context.get("tag")), driver_classes())
        case "union_tag_not_found":
            return f"is missing: one of {', '.join(driver_classes())}"
        case "value_error":
            return str(context.get("error", detail["msg"]))
        case "literal_error":
            return f"has to be {str(context.get('expected')).replace('False', 'false').replace('True', 'true')}"
        case "string_pattern_mismatch":
            return _pattern_sentence(where, value_at(where, document))
    if kind in _WRONG_KINDS:
        return _WRONG_KINDS[kind] + _hint(kind, where, document)
    return str(detail["msg"]).replace("Input should be ", "has to be ").removeprefix("Value error, ")


def _joined(told: Iterable[str]) -> list[str]:
    """What the members of a union say of one value, as one sentence."""
    needs = sorted({text for text in told if text.startswith(_NEED)}, key=lambda text: (":" in text, text))
    if any("number" in text for text in needs):
        needs = [text for text in needs if text != _WRONG_KINDS["int_type"]]
    others = list(dict.fromkeys(text for text in told if not text.startswith(_NEED)))
    return [*([_NEED + " or ".join(text.removeprefix(_NEED) for text in needs)] if needs else []), *others]


def _hint(kind: str, where: Where, document: Any) -> str:
    value = value_at(where, document)
    if found := hints.forgotten_space(value):
        return f": {found}"
    match kind:
        case "string_type":
            return hints.of_text(value)
        case "list_type":
            return hints.of_list(value)
        case "dict_type" | "model_type" | "model_attributes_type":
            return hints.of_mapping(where, document, value)
    return ""


def _quotes(sentence: str, where: Where, document: Document) -> str:
    """The hint to a number in quotes; what came from a tag is a text in any case, and not shown."""
    hint = hints.of_quotes(sentence, value_at(where, document.value))
    if not hint or ":" in sentence or not sentence.startswith(_NEED):
        return ""
    return ": a tag stands for a text" if where in document.tagged else hint


def _unknown_key(where: Where, document: Any) -> str:
    key = str(where[-1])
    if found := hints.forgotten_space(key):
        return found
    if hint := hints.misplaced(where, document):
        return f"unknown key {key!r}: {hint}"
    return unknown("key", key, known_keys(where[:-1], document))


def _pattern_sentence(where: Where, value: Any) -> str:
    match where[-1] if where else "":
        case "sensor":
            return "has to be a sensor, such as source.sensor; `*` stands for one part: rooms.*.temperature"
        case "event":
            return "has to be words with dots, such as freezer.too_warm"
    return "has to be 1 to 64 letters, digits, - or _" + hints.of_list(value)
