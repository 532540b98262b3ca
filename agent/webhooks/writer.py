"""What each webhook is sent of an event: the standard body, its own, or that of a preset, with its headers."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from agent.model import Content, Event
from agent.templates import Facts, Template, facts_of
from agent.webhooks.bodies import Structure
from agent.webhooks.config import Webhook
from agent.webhooks.envelope import envelope, told
from agent.webhooks.headers import HEADER_CHARS_MAX, JSON, encoded, with_placeholders
from agent.webhooks.presets import Telling

log = logging.getLogger(__name__)

LARGE_BODY_BYTES = 20_000
"""Some receivers refuse larger ones: that is Standard Webhooks' advice."""
_Body = Callable[[Telling], Content]


class _Plan(NamedTuple):
    """Of one webhook, made ready."""

    body: _Body | None
    """None: the standard one."""
    headers: Mapping[str, Template]
    """Those that hold placeholders; the others are of the transport."""
    content_type: str


class Writer:
    """Writes for the webhooks of one configuration, and warns of large bodies, once for each rule."""

    def __init__(self, agent_name: str, agent_id: str, webhooks: Mapping[str, Webhook]) -> None:
        self._agent_name, self._agent_id = agent_name, agent_id
        self._plans = {name: _plan(webhook) for name, webhook in webhooks.items()}
        self._warned: set[str | None] = set()

    def __call__(self, event: Event, webhook: str, sequence: int | None) -> Content:
        """What the webhook is sent; `sequence` is None for what is never owed.

        Raises ValueError for what is no JSON.
        """
        content = self._content(event, self._plans[webhook], sequence)
        size = len(content.body)
        if size > LARGE_BODY_BYTES and event.rule not in self._warned:
            self._warned.add(event.rule)
            log.warning("%s: a body of %d bytes; some receivers refuse over 20 kB", event.rule or event.type, size)
        return content

    def _content(self, event: Event, plan: _Plan, sequence: int | None) -> Content:
        if plan.body is None:
            body = envelope(event, agent_name=self._agent_name, agent_id=self._agent_id, sequence=sequence)
            if not plan.headers and plan.content_type == JSON:
                return Content(body)
            content, facts = Content(body), self._facts(event, sequence)
        else:
            facts = self._facts(event, sequence)
            content = plan.body(Telling(event, facts))
        typed = {} if plan.content_type == JSON else {"content-type": plan.content_type}
        filled = {name: encoded(text.text(facts, HEADER_CHARS_MAX)) for name, text in plan.headers.items()}
        return Content(content.body, {**typed, **content.headers, **filled}, content.suffix)

    def _facts(self, event: Event, sequence: int | None) -> Facts:
        """What templates and presets see: nothing that is longer than the standard body would tell."""
        (value, attributes, payload), _ = told(event)
        own: dict[str, Any] = {"value": value, "attributes": attributes, "payload": payload}
        return {**facts_of(event), **own, "agent": self._agent_name, "sequence": sequence}


def _plan(webhook: Webhook) -> _Plan:
    return _Plan(_body(webhook), with_placeholders(webhook.header_texts()), webhook.content_type)


def _body(webhook: Webhook) -> _Body | None:
    if webhook.preset is not None:
        return webhook.preset.chosen.content
    if webhook.body is None:
        return None
    structure = Structure(webhook.body)
    return lambda telling: Content(structure.fill(telling.facts))
