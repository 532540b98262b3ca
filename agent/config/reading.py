"""Read a file: YAML into typed, checked values, or every error with its line and column, all at once."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from agent import secretfiles, yamlfile
from agent.config.model import Config, file_model
from agent.config.problems import ConfigErrors, Problem, Report
from agent.config.references import wrong_references
from agent.config.sentences import place_of, sentences
from agent.config.values import Where, nested, value_at
from agent.yamlfile import Document, Place, YamlProblem

_LISTS = frozenset({"brokers", "sources", "rules", "webhooks"})
"""The sections that hold parts by name."""


class Checked(NamedTuple):
    """A file that was read, and where a tag such as `!secret` stood in it."""

    config: Config
    tagged: frozenset[Where]


def load(path: Path, env: Mapping[str, str] = os.environ) -> Config:
    """Read and check a file. Raises ConfigErrors."""
    return read(path, env).config


def read(path: Path, env: Mapping[str, str] = os.environ) -> Checked:
    """Read and check a file. Raises ConfigErrors."""
    document = _document(path, env)
    report = Report(path, document)
    config, sound = _validated(document, report)
    if sound is not None:
        for where, wrong in wrong_references(sound, document.value):
            report.add(where, wrong)
    if secretfiles.readable_by_others(path):
        for where in _inline_secrets(document, report.secrets):
            report.add(where, f"a secret in a file that others may read: use !secret, or chmod o-rwx {path}")
    if report.problems or config is None:
        raise ConfigErrors(report.problems)
    return Checked(config, document.tagged)


def _document(path: Path, env: Mapping[str, str]) -> Document:
    try:
        return yamlfile.load(path, secretfiles.tags(path, env))
    except YamlProblem as problem:
        nothing_else = Document(nested(problem.path), {}, [(problem.path, problem)], frozenset())
        raise ConfigErrors(Report(path, nothing_else).problems) from None
    except OSError as error:
        raise ConfigErrors([Problem(path, Place(1, 1), "", str(error.strerror))]) from None


def _validated(document: Document, report: Report) -> tuple[Config | None, Config | None]:
    """The configuration, if it is one, and what is sound of it; what is wrong goes into the report."""
    try:
        config = file_model().model_validate(document.value)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        for where, sentence in sentences(details, document):
            report.add(where, sentence)
        return None, _sound_part(document.value, [place_of(detail, document.value) for detail in details])
    return config, config


def _sound_part(value: Any, wrong: Iterable[Where]) -> Config | None:
    """What is left without all that is wrong, so that the rest is told at once too."""
    if not isinstance(value, dict):
        return None
    left = dict(value)
    for section, *path in filter(None, wrong):
        if path and isinstance(left.get(section), dict) and section in _LISTS:
            left[section] = {name: one for name, one in left[section].items() if name != path[0]}
        else:
            left.pop(section, None)
    try:
        return file_model().model_validate({"sources": {}, **left, "version": 1})
    except ValidationError:
        return None


def _inline_secrets(document: Document, secrets: Iterable[Where]) -> Iterator[Where]:
    """Secrets in the file itself, which asks for a file that others cannot read."""
    for where in secrets:
        if where not in document.tagged and isinstance(value_at(where, document.value), str):
            yield where
