"""Builds the events: what an alert, a reminder, a pulse, or a source that came or went has to tell."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

from agent.model import Event, Moment
from agent.rules.compiled import Compiled
from agent.rules.memory import Key, Memory, Said, Told
from agent.templates import SUMMARY_CHARS_MAX, Template, facts_of
from drivers.base import Reading

SOURCES = ":sources"
"""The built-in rule that tells of sources themselves; no rule of the configuration can have this name."""
_NOTHING_SAID = Said("", None, None, {}, {}, None)
_NOTHING_TOLD = Told(None, "warning", {}, None)
"""Of rows that are damaged, but readable."""


class Teller(NamedTuple):
    """What all events share. `at`: when it happened; `moment`: the one of the step that tells of it."""

    new_id: Callable[[str], str]
    labels: Mapping[str, str]
    summaries: Mapping[str, Template]
    """Of the rules that have one of their own."""

    def alert(
        self,
        key: Key,
        memory: Memory,
        said: Said | None,
        what: str,
        at: float,
        moment: Moment,
        reason: str,
        *,
        payload: bool,
    ) -> Event:
        """Tell of an alert; `what` is `firing`, `repeated` or `resolved`.

        `reason`: condition, inactive (outside its hours), rule_removed or forgotten.
        """
        name, subject = key
        said, told = said or _NOTHING_SAID, memory.told or _NOTHING_TOLD
        wall = moment.wall_of(at)
        event = Event(
            id=self.new_id("evt_"),
            type=_type(told.event, what),
            subject=subject,
            at=at,
            wall=wall,
            synced=moment.synced,
            send_to=memory.owed,
            expires_s=told.expires_s,
            rule=name,
            state="resolved" if what == "resolved" else "firing",
            severity=told.severity,
            sensor=said.sensor or subject,
            value=said.value,
            unit=said.unit,
            condition=told.condition,
            reason=reason,
            alert_id=memory.alert_id,
            started_wall=_started_wall(memory, moment),
            started_at=memory.started_at,
            ended_wall=wall if what == "resolved" else None,
            labels={**self.labels, **said.labels},
            attributes=said.attributes,
            payload=said.payload,
            has_payload=payload,
            summary=_alert_summary(name, told, said, what),
        )
        return self._in_own_words(event)

    def source(self, key: Key, memory: Memory, said: Said | None, what: str, at: float, moment: Moment) -> Event:
        """Tell that a source or a device of it was lost or is there again.

        Its `reason` is how it was lost: lost, refused or offline.
        """
        subject, said = key[1], said or _NOTHING_SAID
        lost, wall = what == "firing", moment.wall_of(at)
        detail = f": {said.payload}" if said.payload and lost else ""
        return Event(
            id=self.new_id("evt_"),
            type="source.lost" if lost else "source.restored",
            subject=subject,
            at=at,
            wall=wall,
            synced=moment.synced,
            send_to=memory.owed,
            state="firing" if lost else "resolved",
            severity="warning",
            reason=str(said.value),
            alert_id=memory.alert_id,
            started_wall=_started_wall(memory, moment),
            started_at=memory.started_at,
            ended_wall=None if lost else wall,
            labels={**self.labels, **said.labels},
            summary=f"{subject.partition(':')[2]} is {f'{said.value}{detail}' if lost else 'there again'}",
        )

    def pulse(self, rule: Compiled, reading: Reading, at: float, moment: Moment) -> Event:
        """Tell of one reading."""
        config, said = rule.rule, rule.said(reading)
        event = Event(
            id=self.new_id("evt_"),
            type=config.event or "sensor.event",
            subject=reading.sensor,
            at=at,
            wall=moment.wall_of(at),
            synced=moment.synced,
            send_to=rule.send_to,
            expires_s=config.expires,
            rule=rule.name,
            severity=config.severity,
            sensor=reading.sensor,
            value=said.value,
            unit=said.unit,
            condition=rule.told.condition,
            labels={**self.labels, **said.labels},
            attributes=said.attributes,
            payload=said.payload,
            has_payload=config.payload,
            summary=f"{rule.name}: {_saying(said)}",
        )
        return self._in_own_words(event)

    def _in_own_words(self, event: Event) -> Event:
        """The event with the summary of its rule, as that is now."""
        template = self.summaries.get(event.rule or "")
        return event if template is None else replace(event, summary=template.text(facts_of(event), SUMMARY_CHARS_MAX))


def _started_wall(memory: Memory, moment: Moment) -> float | None:
    """When an alert began, by a clock that is right now, though it may not have been then."""
    if memory.started_at is None or not moment.synced:
        return memory.started_wall
    return moment.wall_of(memory.started_at)


def _type(own: str | None, what: str) -> str:
    """A rule's own type is told as it is, and with `.resolved` or `.repeated` behind it."""
    if own is None:
        return f"sensor.alert.{what}"
    return own if what == "firing" else f"{own}.{what}"


def _alert_summary(rule: str, told: Told, said: Said, what: str) -> str:
    how = {"firing": "", "repeated": "still, ", "resolved": "resolved, "}[what]
    if what != "resolved" and set(told.condition) == {"silent_for"}:
        return f"{rule}: {how}{said.sensor} has been silent for {told.condition['silent_for']}"
    return f"{rule}: {how}{_saying(said)}"


def _saying(said: Said) -> str:
    if said.value is None:
        return f"{said.sensor} has said nothing"
    value = str(said.value).lower() if isinstance(said.value, bool) else str(said.value)[:200]
    unit = f" {said.unit}" if said.unit else ""
    return f"{said.sensor} is {value}{unit}"
