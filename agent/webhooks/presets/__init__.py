"""Bodies for well-known services: one file and one line of `Presets` each.

A preset is a model of its options (`presets.base.Preset`) that writes a request from an event.
"""

from typing import Any, Self, get_args

from pydantic import GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from agent.templates import nearest
from agent.webhooks.presets.alertmanager import Alertmanager
from agent.webhooks.presets.base import Preset, Telling
from agent.webhooks.presets.discord import Discord
from agent.webhooks.presets.healthchecks import Healthchecks
from agent.webhooks.presets.home_assistant import HomeAssistant
from agent.webhooks.presets.ntfy import Ntfy
from agent.webhooks.presets.pagerduty import Pagerduty
from agent.webhooks.presets.slack import Slack
from agent.webhooks.presets.teams import Teams
from drivers.settings import Settings

__all__ = ["Preset", "Presets", "Telling"]


class Presets(Settings):
    """One of these: its name alone, or `{name: options}`."""

    slack: Slack | None = None
    discord: Discord | None = None
    ntfy: Ntfy | None = None
    pagerduty: Pagerduty | None = None
    home_assistant: HomeAssistant | None = None
    alertmanager: Alertmanager | None = None
    teams: Teams | None = None
    healthchecks: Healthchecks | None = None

    @model_validator(mode="before")
    @classmethod
    def _a_name_alone(cls, given: Any) -> Any:
        if not isinstance(given, str):
            return given
        if given not in cls.model_fields:
            raise ValueError(f"unknown preset {given!r}: {nearest(given, cls.model_fields)}")
        if needed := _needed(given):
            raise ValueError(f"{given} needs options: {{{given}: {{{needed[0]}: ...}}}}")
        return {given: {}}

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if len([name for name in type(self).model_fields if getattr(self, name) is not None]) != 1:
            raise ValueError(f"has to be one of {', '.join(type(self).model_fields)}")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler.resolve_ref_schema(handler(core_schema))
        alone = [name for name in cls.model_fields if not _needed(name)]
        return {"anyOf": [{"enum": alone}, schema], "description": schema.get("description")}

    @property
    def chosen(self) -> Preset:
        """The one."""
        found = (getattr(self, name) for name in type(self).model_fields)
        return next(preset for preset in found if isinstance(preset, Preset))


def _needed(name: str) -> list[str]:
    """Options of a preset that have no default."""
    kind = get_args(Presets.model_fields[name].annotation)[0]
    return [option for option, field in kind.model_fields.items() if field.is_required()]
