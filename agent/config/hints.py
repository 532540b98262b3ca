"""What people did where a value is not what it has to be: as the end of a sentence, or nothing."""

import itertools
import re
from collections.abc import Mapping
from typing import Any

from agent.config.kinds import holds_parts, known_keys
from agent.config.values import Where, mapping_at
from agent.yamlhints import FORGOTTEN_SPACE

_INTEGER = re.compile(r"[-+]?\d{1,20}")
_NUMBER = re.compile(r"[-+]?\d{1,20}(?:\.\d{1,20})?")
_INTEGERS_NAMED = re.compile(r"(?<![\w'.])\d+(?![\w'.])")
"""As in `has to be 0 or 1`, but none in quotes."""
_BOOLEANS = {"true": "true", "yes": "true", "on": "true", "false": "false", "no": "false", "off": "false"}
"""What was one in YAML 1.1, and still is elsewhere."""


def of_text(value: Any) -> str:
    """Where there has to be a text."""
    if isinstance(value, dict):
        return ": text that begins with { has to be in quotes"
    return "" if value is None or isinstance(value, list) else ": put it in quotes"


def of_mapping(where: Where, document: Any, value: Any) -> str:
    """Where there has to be a mapping."""
    if value is None:
        return ": it is empty; what belongs to it has to be indented below it"
    hint = misplaced(where, document) if where else None
    return f": {hint}" if hint else ""


def of_list(value: Any) -> str:
    """Where there has to be a list: YAML takes lines that are indented deeper than the first for one text."""
    if value is None:
        return ": it is empty"
    return ": is an item indented too deep?" if isinstance(value, str) and " - " in value else ""


def of_quotes(sentence: str, value: Any) -> str:
    """Where there has to be a number, true or false, as a sentence says, and a text stands."""
    if not isinstance(value, str):
        return ""
    if "true or false" in sentence and (word := _BOOLEANS.get(value.lower())):
        return f": write {word}" + (" without quotes" if value.lower() == word else "")
    is_meant = (
        ("number" in sentence and _NUMBER.fullmatch(value))
        or ("integer" in sentence and _INTEGER.fullmatch(value))
        or value in _INTEGERS_NAMED.findall(sentence)
    )
    return f": write {value} without quotes" if is_meant else ""


def forgotten_space(text: Any) -> str | None:
    """`below:5`, which is a text."""
    found = FORGOTTEN_SPACE.fullmatch(text) if isinstance(text, str) else None
    return f"is a space missing behind the colon of {found[1]}:?" if found else None


def misplaced(where: Where, document: Any) -> str | None:
    """Of a key that is known further in or further out: how it should be indented."""
    above, key = where[:-1], where[-1]
    beside = mapping_at(above, document)
    for name in itertools.takewhile(lambda name: name != key, beside):
        into = (*above, name)
        is_part = isinstance(beside.get(str(key)), Mapping) and holds_parts(into)
        if beside[name] is None and (is_part or key in known_keys(into, document)):
            return f"indent it below `{name}`"
    for n in range(len(above) - 1, -1, -1):
        if key in known_keys(above[:n], document):
            return f"it is a key of {'.'.join(map(str, above[:n])) or 'the file itself'}: indent it less"
    return None
