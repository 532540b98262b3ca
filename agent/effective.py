"""`bellcrank config show`: the configuration with all its defaults, and without its secrets."""

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError

from agent import yamlfile
from agent.config import Checked, Where
from agent.webhooks.config import Webhook
from agent.webhooks.shown import HIDDEN, hide


def effective(checked: Checked) -> str:
    """YAML that is taken for the same, but for what is hidden: secrets, and whatever came from a tag."""
    shown = _plain(_filled(checked.config))
    for name, webhook in checked.config.webhooks.items():
        shown["webhooks"][name] = _without_secrets(shown["webhooks"][name], webhook)
    for where in checked.tagged:
        _hide(shown, where)
    return yamlfile.dump(shown)


def _without_secrets(shown: Any, webhook: Webhook) -> Any:
    """Also where a secret stands in a URL or a body."""
    match shown:
        case dict():
            return {key: _without_secrets(member, webhook) for key, member in shown.items()}
        case list():
            return [_without_secrets(member, webhook) for member in shown]
        case str():
            return hide(shown, webhook)
    return shown


def _filled(model: BaseModel) -> dict[str, Any]:
    """What was said, with each default that may stand beside it; a rule with `each` takes none for `clear_for`."""
    written = model.model_dump(by_alias=True)
    said: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    for name, field in type(model).model_fields.items():
        key, value = field.alias or name, getattr(model, name)
        if value is not None:
            (said if name in model.model_fields_set else defaults)[key] = _inside(value, written[key])
    for key, value in defaults.items():
        if _is_taken(type(model), {**said, key: value}):
            said[key] = value
    return {key: said[key] for key in written if key in said}


def _inside(value: Any, written: Any) -> Any:
    if isinstance(value, BaseModel):
        return _filled(value)
    if isinstance(value, Mapping):
        return {key: _inside(member, written[key]) for key, member in value.items()}
    if isinstance(value, list | tuple) and isinstance(written, list | tuple):  # not one that is written as a text
        return [_inside(member, one) for member, one in zip(value, written, strict=True)]
    return written


def _is_taken(kind: type[BaseModel], given: dict[str, Any]) -> bool:
    try:
        kind.model_validate(given)
    except ValidationError:
        return False
    return True


def _plain(value: Any) -> Any:
    """As YAML can write it."""
    match value:
        case dict():
            return {str(key): _plain(member) for key, member in value.items()}
        case list():
            return [_plain(member) for member in value]
        case SecretStr():
            return HIDDEN
        case Enum():
            return value.value
        case Path():
            return str(value)
    return value


def _hide(shown: Any, where: Where) -> None:
    *steps, last = where or ("",)
    for step in steps:
        shown = shown[step] if _holds(shown, step) else None
    if _holds(shown, last):
        shown[last] = HIDDEN


def _holds(holder: Any, step: str | int) -> bool:
    if isinstance(holder, list):
        return isinstance(step, int) and step < len(holder)
    return isinstance(holder, dict) and step in holder
