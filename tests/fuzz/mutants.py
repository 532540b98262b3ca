"""A mistake for each target, as somebody might make it, that its fuzzing must find."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import agent.config.reading
import agent.discovery.suggest
import drivers.formats
from agent.config import Config
from agent.webhooks.answers import Answer, AnswerReader
from drivers.framing import LineFramer

Patch = Callable[[Any, str, Any], None]
"""`setattr`, or one that is taken back."""


def nan_passes(patch: Patch) -> None:
    patch(drivers.formats, "_is_strict", lambda _document, _depth=0: True)


def long_line_goes_on(patch: Patch) -> None:
    patch(LineFramer, "reset", lambda framer: framer._partial.clear())


def end_in_two_pieces_is_missed(patch: Patch) -> None:
    feed = AnswerReader.feed

    def searches_what_is_new(reader: AnswerReader, data: bytes) -> Answer | None:
        reader._searched = len(reader._buffer) + 3
        return feed(reader, data)

    patch(AnswerReader, "feed", searches_what_is_new)


def webhook_is_there(patch: Patch) -> None:
    def wrong_references(config: Config, _value: object) -> list[Any]:
        return [name for rule in config.rules.values() for name in rule.send_to or () if not config.webhooks[name].url]

    patch(agent.config.reading, "wrong_references", wrong_references)


def json_for_yaml(patch: Patch) -> None:
    patch(agent.discovery.suggest, "_quoted", lambda text: json.dumps(text, ensure_ascii=False))


MUTANTS: Mapping[str, Callable[[Patch], None]] = {
    "decoding": nan_passes,
    "framing": long_line_goes_on,
    "answers": end_in_two_pieces_is_missed,
    "config": webhook_is_there,
    "discovery": json_for_yaml,
}
