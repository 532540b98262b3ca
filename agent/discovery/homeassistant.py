"""Names and units from Home Assistant's MQTT discovery (https://www.home-assistant.io/integrations/mqtt).

A device publishes, retained, on `homeassistant/<component>/[<node>/]<object>/config` where its state comes and how to
read it. Many keys have a short form, `~` stands for a base topic, and an empty payload deletes.
"""

import json
import re
from typing import Any, NamedTuple

from agent.discovery.seen import Path

_TOPIC = re.compile(r"[^/]+/[a-z_]+/(?:[^/]+/)?[^/]+/config")
_SHORT = {"stat_t": "state_topic", "unit_of_meas": "unit_of_measurement", "val_tpl": "value_template"}
_STEPS = r"(?:\.[A-Za-z_]\w*|\[\s*(?:'[^']*'|\"[^\"]*\"|\d+)\s*\])+"
_TEMPLATE = re.compile(rf"\s*\{{\{{\s*value(?:_json({_STEPS}))?\s*(?:\|[^}}]*)?\}}\}}\s*")
"""Filters such as `| round(1)` are for people: the value is read as it comes."""
_STEP = re.compile(r"\.([A-Za-z_]\w*)|\[\s*(?:'([^']*)'|\"([^\"]*)\"|(\d+))\s*\]")


class Announced(NamedTuple):
    """One value that a device has announced."""

    topic: str
    path: Path
    name: str
    unit: str | None


def is_announcement(topic: str) -> bool:
    """Whether a topic is one of those."""
    return _TOPIC.fullmatch(topic) is not None


def announced(payload: bytes) -> Announced | None:
    """What a payload of such a topic says.

    None: it deletes, is unreadable, or reads its value in a way that a path cannot.
    """
    try:
        found: Any = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    said = {_SHORT.get(key, key): value for key, value in found.items() if isinstance(value, str)}
    path = _path(said.get("value_template", "{{ value }}"))
    topic = _topic(said.get("state_topic", ""), said.get("~", ""))
    if path is None or not topic:
        return None
    return Announced(topic, path, said.get("name") or said.get("object_id", ""), said.get("unit_of_measurement"))


def _topic(topic: str, base: str) -> str:
    if topic.startswith("~"):
        return base + topic[1:]
    return topic[:-1] + base if topic.endswith("~") else topic


def _path(template: str) -> Path | None:
    whole = _TEMPLATE.fullmatch(template)
    if whole is None:
        return None
    steps = (match.groups() for match in _STEP.finditer(whole[1] or ""))
    return tuple(int(index) if index else name or single or double or "" for name, single, double, index in steps)
