"""A request as people may see it: as it is sent, but without what is secret in its configuration."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, SecretStr

from agent.model import Content
from agent.webhooks.config import Webhook
from agent.webhooks.headers import is_secret, signed, usual

HIDDEN = "**********"
_SHORTEST, _SHORTEST_PART, _SHORTEST_PART_OF_URL = 4, 8, 16
"""What is shorter cannot keep a secret, and would be hidden in many a word."""
_BETWEEN_PARTS = re.compile(r"\{[^{}]*\}|\s+")


@dataclass(frozen=True, slots=True)
class ShownRequest:
    """What is sent in each attempt; what is a secret is `**********`."""

    method: str | None
    """null: the configuration no longer has the webhook."""
    host: str | None
    """Of the URL, whose path may hold a secret."""
    headers: Mapping[str, str]
    """Time and signature are made anew for each attempt, and hidden."""
    body: str


def shown_request(webhook: Webhook | None, content: Content, event_id: str) -> ShownRequest:
    """Of a webhook that is configured no more, only what was kept with the delivery."""
    if webhook is None:
        return ShownRequest(None, None, _shown_headers(content.headers), hiding(None, content.body))
    signing = signed(webhook.signature, webhook.keys, event_id, 0, content.body)
    every = {name: value if value == event_id else HIDDEN for name, value in signing.items()}
    headers = usual(webhook.header_texts())
    headers.update({**content.headers, **every})
    shown = {name: hide(value, webhook) for name, value in _shown_headers(headers).items()}
    return ShownRequest(webhook.method, urlsplit(webhook.url).hostname, shown, hiding(webhook, content.body))


def hiding(webhook: Webhook | None, content: bytes) -> str:
    """A body or an answer as text, without what is secret in the webhook's configuration."""
    return hide(content.decode("utf-8", errors="backslashreplace"), webhook)


def _shown_headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: HIDDEN if is_secret(name) else value for name, value in headers.items()}


def hide(text: str, webhook: Webhook | None) -> str:
    """A text without what is secret in the webhook's configuration."""
    for secret in () if webhook is None else sorted(set(_secrets(webhook)), key=len, reverse=True):
        for written in (secret, json.dumps(secret, ensure_ascii=False)[1:-1]):
            if len(written) >= _SHORTEST:
                text = text.replace(written, HIDDEN)
    return text


def _secrets(value: Any, name: str = "") -> Iterator[str]:
    """All that the configuration keeps as a secret, and the texts of a body whose names say that they are.

    Also what of them stands between spaces and placeholders, as in `Bearer ...`.
    """
    match value:
        case SecretStr():
            yield from _with_parts(value.get_secret_value())
        case str() if is_secret(name):
            yield from _with_parts(value)
        case BaseModel():
            yield from _of_url(value.url) if isinstance(value, Webhook) else ()
            for field in type(value).model_fields:
                yield from _secrets(getattr(value, field))
        case Mapping():
            for key, member in value.items():
                yield from _secrets(member, str(key))
        case list() | tuple():
            for member in value:
                yield from _secrets(member, name)


def _of_url(url: str) -> Iterator[str]:
    """What of a URL may be a secret, as in those of Slack and Discord: long parts of the path, values of the query."""
    parts = urlsplit(url)
    written = [*parts.path.split("/"), *re.split("[=&]", parts.query)]
    yield from (form for part in written for form in (part, unquote(part)) if len(part) >= _SHORTEST_PART_OF_URL)


def _with_parts(text: str) -> Iterator[str]:
    yield text
    yield from (part for part in _BETWEEN_PARTS.split(text) if len(part) >= _SHORTEST_PART)
