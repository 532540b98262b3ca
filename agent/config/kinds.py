"""What the models may hold at a path of the file: the keys that are known there, and where secrets are."""

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr

from agent.config.model import file_model
from agent.config.values import Where, member
from agent.webhooks.headers import is_secret


def secret_places(value: Any) -> Iterator[Where]:
    """Where a document has what the models keep as a secret."""
    waiting: list[tuple[Where, Any, list[Any]]] = [((), value, [file_model()])]
    while waiting:
        where, value, kinds = waiting.pop()
        in_a_list = [inner for kind in kinds if get_origin(kind) is list for inner in _inside(kind, 0)]
        if _is_secret(where, kinds) or (not isinstance(value, list) and SecretStr in in_a_list):
            yield where
            continue
        members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for step, held in members:
            inner = [found for kind in kinds for found in _inside(kind, step)]
            if inner:
                waiting.append(((*where, step), held, inner))


def _is_secret(where: Where, kinds: list[Any]) -> bool:
    """Of what may be a secret or not, such as a header, the name decides."""
    return SecretStr in kinds and (str not in kinds or is_secret(str(where[-1])))


def known_keys(where: Where, document: Any) -> list[str]:
    """The keys that the mapping at a path may have; none where it holds parts by name."""
    models = [kind for kind in _kinds(where, document) if _is_model(kind)]
    return sorted({field.alias or name for model in models for name, field in model.model_fields.items()})


def holds_parts(where: Where) -> bool:
    """Whether at a path there are parts by name, such as `rules`."""
    return any(get_origin(kind) is dict for kind in _kinds(where, None))


def _kinds(where: Where, document: Any) -> list[Any]:
    """The types that may stand at a path."""
    kinds: list[Any] = [file_model()]
    for step in where:
        document = member(document, step)
        kinds = [inner for kind in kinds for inner in _inside(kind, step) if _is_of_driver(inner, document)]
    return kinds


def _is_of_driver(kind: Any, value: Any) -> bool:
    """Whether a model may be meant, as far as `driver` tells."""
    driver = kind.model_fields.get("driver") if _is_model(kind) else None
    chosen = member(value, "driver")
    return driver is None or chosen is None or chosen in get_args(driver.annotation)


def _inside(kind: Any, step: str | int) -> list[Any]:
    """The types that a key of a model, a name of a mapping or an index of a list may hold."""
    if _is_model(kind):
        fields = {field.alias or name: field for name, field in kind.model_fields.items()}
        return _alternatives(fields[str(step)].annotation) if step in fields else []
    if get_origin(kind) in (dict, list):
        return _alternatives(get_args(kind)[-1])
    return []


def _alternatives(annotation: Any) -> list[Any]:
    """The types that a union or an annotated type stands for."""
    if get_origin(annotation) in (Union, UnionType):
        return [kind for one in get_args(annotation) for kind in _alternatives(one)]
    return _alternatives(get_args(annotation)[0]) if get_origin(annotation) is Annotated else [annotation]


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
