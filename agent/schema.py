"""`bellcrank config schema`: a JSON Schema of the configuration, made from the models, for completion in an editor.

What it refuses the agent refuses too, but for keys that are there and empty. What one part says of another it
does not know. The words that explain a key are the docstrings of the models.
"""

import ast
import inspect
import itertools
import textwrap
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from agent.config import file_model

_BOUNDS = frozenset({"ge", "gt", "le", "lt"})
"""Bounds of seconds and bytes, which say nothing of the text that stands for them."""
_NULL = {"type": "null"}


def schema() -> dict[str, Any]:
    """The whole schema."""
    made = file_model().model_json_schema(schema_generator=_Generator)
    head = {
        "$schema": _Generator.schema_dialect,
        "title": "bellcrank.yaml",
        "description": "The configuration of bellcrank.",
    }
    return {**head, **_tidied(made)}


class _Generator(GenerateJsonSchema):
    """Explains each key by its docstring, and shows a default as it is written."""

    def model_schema(self, schema: core_schema.ModelSchema) -> dict[str, Any]:
        made = super().model_schema(schema)
        explained = _docstrings(schema["cls"])
        for name, field in schema["cls"].model_fields.items():
            described = made["properties"].get(field.alias or name)
            if described is None:
                continue
            if name in explained:
                described.setdefault("description", explained[name])
            if not field.is_required() and field.default_factory is None:
                described["default"] = _written(field)
        return made


def _docstrings(model: type[BaseModel]) -> Mapping[str, str]:
    """The texts that stand below the fields of a model and of those that it is made from."""
    found: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        if issubclass(kind, BaseModel) and kind is not BaseModel:
            found |= _own_docstrings(kind)
    return found


def _own_docstrings(model: type[BaseModel]) -> Mapping[str, str]:
    body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    members = body.body if isinstance(body, ast.ClassDef) else []
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in itertools.pairwise(members)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }


def _written(field: FieldInfo) -> Any:
    """A default as somebody would write it: 60.0 seconds are 1m."""
    kind: Any = field.annotation
    for one in field.metadata:
        kind = Annotated[kind, one]
    return TypeAdapter(kind).dump_python(field.default, mode="json", by_alias=True, exclude_none=True)


def _tidied(node: Any) -> Any:
    """Without what is no word of JSON Schema or no help: bounds of parsed values, titles, and null for left out."""
    if isinstance(node, list):
        return [_tidied(member) for member in node]
    if not isinstance(node, dict):
        return node
    kept = {key: _tidied(member) for key, member in node.items() if not _is_noise(key, member)}
    if "patternProperties" in kept:
        kept.setdefault("additionalProperties", False)
    if _NULL in kept.get("anyOf", ()):
        others = [one for one in kept.pop("anyOf") if one != _NULL]
        kept = {**(others[0] if len(others) == 1 else {"anyOf": others}), **kept}
    return kept


def _is_noise(key: str, member: Any) -> bool:
    if key in _BOUNDS:
        return isinstance(member, int | float)
    return (key == "title" and isinstance(member, str)) or (key in ("default", "description") and member is None)
