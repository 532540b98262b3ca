"""The configuration.

YAML into typed, checked values, and every error with its line and column, all at once.
"""

import contextlib
import difflib
import ipaddress
import os
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, tzinfo
from functools import cache, reduce
from operator import or_
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, create_model, field_validator

from agent import secretfiles, yamlfile
from agent.outbox.bounds import DEFAULTS, Limits
from agent.rules import Site
from agent.rules.config import Condition, Rule, placeholders
from agent.webhooks.config import Webhook
from agent.webhooks.headers import is_secret
from agent.yamlfile import FORGOTTEN_SPACE, Place, YamlProblem
from drivers.base import SourceConfig
from drivers.http import HttpSource
from drivers.mqtt import BrokerConfig, MqttSource
from drivers.registry import driver_classes
from drivers.serial import SerialSource
from drivers.topics import parse_topic
from drivers.units import Duration, Name, Size, Token, format_size, parse_address

_STRICT = ConfigDict(extra="forbid", frozen=True)
_LISTS = frozenset({"brokers", "sources", "rules", "webhooks"})
"""The sections that hold parts by name."""
_TELLING_CHARS = 8
_OUTBOX_BYTES_MIN = 10**6
"""Below it the memory of rules and the ledgers leave hardly any room for events."""
Where = tuple[str | int, ...]
FeedSettings = tuple[Mapping[str, SourceConfig], Mapping[str, BrokerConfig]]
"""What the file says of one feed: its sources, and the brokers that they name."""


class Problem(NamedTuple):
    """One thing that is wrong, for people."""

    file: Path
    place: Place
    path: str
    message: str

    def __str__(self) -> str:
        path = f"{self.path}: " if self.path else ""
        return _printable(f"{self.file}:{self.place.line}:{self.place.column}: {path}{self.message}")


class ConfigErrors(Exception):
    """All that is wrong, one a line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(problems, key=lambda problem: (problem.place, problem.path))
        super().__init__("\n".join(map(str, self.problems)))


class HeartbeatConfig(BaseModel):
    """A dead man's switch."""

    model_config = _STRICT

    every: Annotated[Duration, Field(ge=1)] = 300.0
    """How often a heartbeat is sent."""
    send_to: Annotated[list[Name], Field(min_length=1)]
    """The webhooks that it is sent to."""


class AgentConfig(BaseModel):
    """The agent itself."""

    model_config = _STRICT

    name: Name = Field(default_factory=lambda: re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname())[:64] or "bellcrank")
    """What it is called in every event; the host name where it is left out."""
    labels: dict[Name, str] = Field(default_factory=dict)
    """Copied into every event."""
    state_dir: Path | None = None
    """Where the outbox lives; $STATE_DIRECTORY, /var/lib/bellcrank or the user's where it is left out."""
    timezone: str | None = None
    """Of `active`; the system's where it is left out."""
    events_to: list[Name] | None = None
    """The webhooks that hear of the agent itself; those with the standard body where it is left out."""
    heartbeat: HeartbeatConfig | None = None
    """Says at intervals that the agent lives; none where it is left out."""

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, timezone: str | None) -> str | None:
        if timezone is not None:
            _zone(timezone)
        return timezone


class OutboxConfig(BaseModel):
    """What waits, and how much of it is kept."""

    model_config = _STRICT

    max_size: Size = DEFAULTS.max_bytes
    """Of the database; its log may take as much again while somebody else reads it."""
    max_events: Annotated[int, Field(ge=1)] = DEFAULTS.max_events
    """Events that some webhook is still owed."""
    min_free: Size | None = None
    """Of the disk, that are left alone; the smaller of 32 MB and 5 % where it is left out."""
    keep_delivered: Duration = DEFAULTS.keep_delivered_s
    """How long what was delivered can be looked at."""
    keep_dead: Duration = DEFAULTS.keep_dead_s
    """How long dead letters can be replayed."""

    @field_validator("max_size")
    @classmethod
    def _is_enough(cls, max_size: int) -> int:
        if max_size < _OUTBOX_BYTES_MIN:
            raise ValueError(f"has to be at least {format_size(_OUTBOX_BYTES_MIN)}")
        return max_size

    def limits(self) -> Limits:
        """As the outbox takes them."""
        return Limits(self.max_size, self.max_events, self.min_free, self.keep_delivered, self.keep_dead)


class StatusConfig(BaseModel):
    """The status page."""

    model_config = _STRICT

    listen: str | Literal[False] = "127.0.0.1:8321"
    """Address and port, or false for none."""
    token: Token | None = None
    """Asked for where it is set; off loopback it has to be."""
    hosts: list[str] = Field(default_factory=list)
    """Further names under which the page may be asked."""

    @field_validator("listen")
    @classmethod
    def _is_an_address(cls, listen: str | Literal[False]) -> str | Literal[False]:
        if listen is not False:
            try:
                parse_address(listen)
            except ValueError as error:
                raise ValueError(f"{error}; or false") from None
        return listen

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of `listen`."""
        return parse_address(str(self.listen))

    @property
    def secret_token(self) -> str | None:
        """The token itself."""
        return None if self.token is None else self.token.get_secret_value()

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        host = self.address[0]
        return host == "localhost" or ipaddress.ip_address(host).is_loopback


class Config(BaseModel):
    """The whole file. `sources` hold the model of their driver."""

    model_config = _STRICT

    version: Literal[1]
    """Of the words in this file."""
    agent: AgentConfig = Field(default_factory=AgentConfig)
    """The agent itself."""
    brokers: dict[Name, BrokerConfig] = Field(default_factory=dict)
    """MQTT brokers by name."""
    sources: dict[Name, Any]
    """What is listened to, by name: a topic, a port."""
    rules: dict[Name, Rule] = Field(default_factory=dict)
    """What there is to tell, by name."""
    webhooks: dict[Name, Webhook] = Field(default_factory=dict)
    """Who is told, by name."""
    outbox: OutboxConfig = Field(default_factory=OutboxConfig)
    """What waits, and how much of it is kept."""
    status: StatusConfig = Field(default_factory=StatusConfig)
    """The status page."""

    def sources_by_driver(self) -> dict[str, dict[str, SourceConfig]]:
        """The sources of each driver that has any."""
        found: dict[str, dict[str, SourceConfig]] = {}
        for name, source in self.sources.items():
            found.setdefault(source.driver, {})[name] = source
        return found

    def feed_settings(self, sources: Iterable[str]) -> FeedSettings:
        """What the file says of the feed of these sources: equal settings need no new feed."""
        theirs = {name: self.sources[name] for name in sources}
        only = next(iter(self.brokers), "")
        named = {source.broker or only for source in theirs.values() if isinstance(source, MqttSource)}
        return theirs, {name: self.brokers[name] for name in named}

    def has_sensor(self, name: str) -> bool:
        """Whether a source brings a sensor of this name, such as `rooms.kitchen.temperature`."""
        source = self.sources.get(name.partition(".")[0])
        return source is not None and name.rpartition(".")[2] in source.sensors

    def summary(self) -> str:
        """How much there is of everything."""
        parts = {"source": self.sources, "rule": self.rules, "webhook": self.webhooks}
        return ", ".join(f"{len(part)} {word}{'' if len(part) == 1 else 's'}" for word, part in parts.items())

    def expires_s(self) -> dict[str, float]:
        """How long each webhook is owed an event."""
        return {name: webhook.expires for name, webhook in self.webhooks.items()}

    def unordered(self) -> set[str]:
        """Webhooks to which events of one subject may go in any order."""
        return {name for name, webhook in self.webhooks.items() if webhook.ordering == "none"}

    def meanings(self) -> dict[str, str]:
        """What each rule means, with the decoding of the sensors that it may see."""
        return {name: rule.meaning(self._decoding(rule)) for name, rule in self.rules.items()}

    def site(self) -> Site:
        """What the rules need to know of the rest."""
        sensors = [".".join(parts) for parts in self.sensors() if not any(map(placeholders, parts))]
        events_to = self.agent.events_to
        return Site(
            sources=tuple(self.sources),
            sensors=sensors,
            events_to=self._standard_webhooks() if events_to is None else tuple(dict.fromkeys(events_to)),
            timezone=_system_zone() if self.agent.timezone is None else _zone(self.agent.timezone),
        )

    def _standard_webhooks(self) -> tuple[str, ...]:
        return tuple(name for name, webhook in self.webhooks.items() if webhook.is_standard)

    def sensors(self) -> list[list[str]]:
        """The parts of every sensor's name; some may be placeholders such as `{room}`."""
        return [
            _sensor_parts(name, source, sensor) for name, source in self.sources.items() for sensor in source.sensors
        ]

    def _decoding(self, rule: Rule) -> str:
        patterns = [pattern.split(".") for pattern in rule.patterns()]
        seen = [
            f"{name}.{sensor} {source.decoding(sensor)}"
            for name, source in sorted(self.sources.items())
            for sensor in sorted(source.sensors)
            if any(_may_match(pattern, _sensor_parts(name, source, sensor)) for pattern in patterns)
        ]
        return "\n".join(seen)


class Checked(NamedTuple):
    """A file that was read, and where a tag such as `!secret` stood in it."""

    config: Config
    tagged: frozenset[Where]


def load(path: Path, env: Mapping[str, str] = os.environ) -> Config:
    """Read and check a file. Raises ConfigErrors."""
    return read(path, env).config


def read(path: Path, env: Mapping[str, str] = os.environ) -> Checked:
    """Read and check a file. Raises ConfigErrors."""
    try:
        document = yamlfile.load(path, secretfiles.tags(path, env))
    except YamlProblem as problem:
        raise ConfigErrors([Problem(path, problem.place, "", problem.message)]) from None
    except OSError as error:
        raise ConfigErrors([Problem(path, Place(1, 1), "", str(error.strerror))]) from None
    reader = _Reader(path, document)
    reader.check()
    return Checked(reader.config(), document.tagged)


def find(explicit: Path | None, env: Mapping[str, str] = os.environ) -> Path:
    """The configuration file. Raises ConfigErrors that says where it was looked for."""
    if explicit is not None:
        return explicit
    if "BELLCRANK_CONFIG" in env:
        return Path(env["BELLCRANK_CONFIG"])
    places = _places(env)
    for place in places:
        if place.exists():
            return place
    looked = ", ".join(map(str, places))
    advice = f"no configuration; looked for {looked}; use --config, or make one: bellcrank config init"
    raise ConfigErrors([Problem(places[0], Place(1, 1), "", advice)])


def home(env: Mapping[str, str] = os.environ) -> Path:
    """Where a first configuration is found by `find` and may be written; the user's, if nothing else."""
    if "BELLCRANK_CONFIG" in env:
        return Path(env["BELLCRANK_CONFIG"])
    *others, users = _places(env)
    return next((place for place in others if os.access(place.parent, os.W_OK)), users)


def _places(env: Mapping[str, str]) -> list[Path]:
    folders = [Path("/etc/bellcrank"), platformdirs.user_config_path("bellcrank")]
    if "CONFIGURATION_DIRECTORY" in env:
        folders.insert(0, Path(env["CONFIGURATION_DIRECTORY"]))
    return [folder / "bellcrank.yaml" for folder in folders]


def state_dir(config: Config, env: Mapping[str, str] = os.environ) -> Path:
    """Where the outbox lives."""
    return default_state_dir(env) if config.agent.state_dir is None else config.agent.state_dir


def default_state_dir(env: Mapping[str, str] = os.environ) -> Path:
    """Where it lives when the configuration does not say."""
    if "STATE_DIRECTORY" in env:
        return Path(env["STATE_DIRECTORY"].partition(":")[0])
    system = Path("/var/lib/bellcrank")
    return system if os.access(system, os.W_OK) else platformdirs.user_state_path("bellcrank")


class _Reader:
    """One reading of a file: collects what is wrong."""

    def __init__(self, file: Path, document: yamlfile.Document) -> None:
        self._file = file
        self._document = document
        self._secrets = set(_secret_places(document.value))
        self._problems = [
            Problem(file, problem.place, self._dotted(path), problem.message) for path, problem in document.problems
        ]
        self._broken = {path for path, _ in document.problems}
        self._config: Config | None = None

    def check(self) -> None:
        """Find everything that is wrong."""
        try:
            self._config = file_model().model_validate(self._document.value)
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
            self._translate(details)
            sound = self._sound_part([self._where(detail) for detail in details])
        else:
            sound = self._config
        if sound is not None:
            self._cross_references(sound)
        self._inline_secrets()

    def config(self) -> Config:
        """The configuration. Raises ConfigErrors."""
        if self._problems or self._config is None:
            raise ConfigErrors(self._problems)
        return self._config

    # -- what pydantic says

    def _translate(self, details: Iterable[Any]) -> None:
        told: dict[Where, list[str]] = {}
        for detail in details:
            where = self._where(detail)
            if any(where[: len(path)] == path for path in self._broken if path):
                continue  # the value could not be read at all, which has been told
            told.setdefault(where, []).append(_sentence(detail, where, self._document.value))
        for where, sentences in told.items():
            for sentence in _joined(sentences):
                self._add(where, sentence)

    def _where(self, detail: Any) -> Where:
        """The path in the file: without the words that pydantic adds for unions and validators."""
        where: list[str | int] = []
        value, loc = self._document.value, detail["loc"]
        for i, step in enumerate(loc):
            if len(where) == i == 2 and loc[0] == "sources" and step == _member(value, "driver"):
                continue  # the discriminator
            if isinstance(value, dict):
                absent = step not in value and not (detail["type"] == "missing" and i == len(loc) - 1)
            else:
                absent = not (isinstance(value, list) and isinstance(step, int))
            if not absent:
                where.append(step)
                value = _member(value, step)
        if detail["type"] in ("union_tag_invalid", "union_tag_not_found"):
            where.append("driver")
        return tuple(where)

    def _sound_part(self, wrong: Iterable[Where]) -> Config | None:
        """What is left without all that is wrong, so that the rest is told at once too."""
        if not isinstance(self._document.value, dict):
            return None
        document = dict(self._document.value)
        for section, *path in filter(None, wrong):
            if path and isinstance(document.get(section), dict) and section in _LISTS:
                document[section] = {name: one for name, one in document[section].items() if name != path[0]}
            else:
                document.pop(section, None)
        try:
            return file_model().model_validate({"sources": {}, **document, "version": 1})
        except ValidationError:
            return None

    def _names(self, section: str) -> Mapping[str, Any]:
        """Those that the file has, also of parts that are wrong in themselves."""
        return _mapping(_member(self._document.value, section))

    def _value(self, where: Where) -> Any:
        return reduce(_member, where, self._document.value)

    def _add(self, where: Where, message: str) -> None:
        if any(self._tells(message, path) for path in self._document.tagged if path[: len(where)] == where):
            message = "what its tag stands for is not valid here; it is not shown, as it may be a secret"
        self._problems.append(Problem(self._file, self._place(where), self._dotted(where), message))

    def _tells(self, message: str, path: Where) -> bool:
        """Whether a message shows a telling part of what came from a tag."""
        text = str(self._value(path))
        n = min(len(text), _TELLING_CHARS)
        return n > 0 and any(text[i : i + n] in message for i in range(len(text) - n + 1))

    def _dotted(self, where: Where) -> str:
        """The path for people; of `password:hunter2`, which somebody took for a key, only the first word."""
        for n in range(len(where)):
            if where[:n] in self._secrets:
                where = where[:n]
                break
        return ".".join(str(step).partition(":")[0] for step in where)

    def _place(self, where: Where) -> Place:
        while where and where not in self._document.places:
            where = where[:-1]
        return self._document.places.get(where, Place(1, 1))

    # -- what one part says of another

    def _cross_references(self, config: Config) -> None:
        for name, source in config.sources.items():
            self._check_source(config, name, source)
            for where, wrong in source.wrong_paths():
                self._add(("sources", name, *where), wrong)
        self._check_ports(config)
        self._check_listening(config)
        for name, rule in config.rules.items():
            self._check_rule(config, name, rule)
        self._check_webhooks(("agent", "events_to"), config.agent.events_to)
        if config.agent.heartbeat is not None:
            self._check_webhooks(("agent", "heartbeat", "send_to"), config.agent.heartbeat.send_to)
        for name, webhook in config.webhooks.items():
            for where, wrong in webhook.wrong_places():
                self._add(("webhooks", name, *where), wrong)
        status = config.status
        if status.listen and not status.on_loopback and status.token is None:
            self._add(("status", "listen"), "off loopback a `token` is needed")

    def _check_source(self, config: Config, name: str, source: SourceConfig) -> None:
        if not isinstance(source, MqttSource):
            return
        brokers = self._names("brokers")
        if source.broker is None and len(brokers) != 1:
            which = "there is none in `brokers`" if not brokers else "there are several: name one"
            self._add(("sources", name), f"`broker` may be left out only where there is one; {which}")
        elif source.broker is not None and source.broker not in brokers:
            self._add(("sources", name, "broker"), _unknown("broker", source.broker, brokers))

    def _check_ports(self, config: Config) -> None:
        ports: dict[str | tuple[str, int], str] = {}
        for name, source in config.sources.items():
            if isinstance(source, SerialSource):
                first = ports.setdefault(source.place, name)
                if first != name:
                    self._add(("sources", name, "port"), f"{first} reads this port already")

    def _check_listening(self, config: Config) -> None:
        before: dict[str, HttpSource] = {}
        for name, source in config.sources.items():
            if not isinstance(source, HttpSource):
                continue
            if config.status.listen and _overlap(source.address, config.status.address):
                self._add(("sources", name, "listen"), "the status page listens there (`status.listen`)")
            for other, theirs in before.items():
                if source.address == theirs.address and source.path == theirs.path:
                    self._add(("sources", name, "path"), f"{other} has this path already")
                elif source.address != theirs.address and _overlap(source.address, theirs.address):
                    self._add(("sources", name, "listen"), f"{other} has this port already, as {theirs.listen}")
            before[name] = source

    def _check_rule(self, config: Config, name: str, rule: Rule) -> None:
        wrong = self._names("sources").keys() - config.sources.keys()
        for where, pattern in _patterns(("rules", name), rule):
            parts = pattern.split(".")
            if parts[0] not in wrong and not any(_may_match(parts, sensor) for sensor in config.sensors()):
                known = [".".join(sensor) for sensor in config.sensors()]
                if not rule.is_compound:
                    known = [_IN_BRACES.sub("*", text) for text in known]
                self._add(where, _unknown("sensor", pattern, known))
        self._check_webhooks(("rules", name, "send_to"), rule.send_to)

    def _check_webhooks(self, where: Where, named: Iterable[str] | None) -> None:
        for i, webhook in enumerate(named or ()):
            if webhook not in self._names("webhooks"):
                self._add((*where, i), _unknown("webhook", webhook, self._names("webhooks")))

    def _inline_secrets(self) -> None:
        """A secret in the file itself asks for a file that others cannot read."""
        if not secretfiles.readable_by_others(self._file):
            return
        for where in self._secrets:
            if where not in self._document.tagged and isinstance(self._value(where), str):
                self._add(
                    where,
                    f"a secret in a file that others may read: use !secret, or chmod o-rwx {self._file}",
                )


@cache
def file_model() -> type[Config]:
    """`Config` with the union of all drivers' sources."""
    models = [driver.Source for driver in driver_classes().values()]
    union: Any = reduce(or_, models) if len(models) < 2 else Union[tuple(models)]  # noqa: UP007
    source: Any = Annotated[union, Field(discriminator="driver")] if len(models) > 1 else union
    return create_model("Config", __base__=Config, sources=(dict[Name, source], ...))


def _secret_places(value: Any) -> Iterator[Where]:
    """Where a document has what the models keep as a secret."""
    waiting: list[tuple[Where, Any, list[Any]]] = [((), value, [file_model()])]
    while waiting:
        where, value, kinds = waiting.pop()
        in_a_list = [inner for kind in kinds if get_origin(kind) is list for inner in _inside(kind, 0)]
        if _is_secret(where, kinds) or (not isinstance(value, list) and SecretStr in in_a_list):
            yield where
            continue
        members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for step, member in members:
            inner = [found for kind in kinds for found in _inside(kind, step)]
            if inner:
                waiting.append(((*where, step), member, inner))


def _is_secret(where: Where, kinds: list[Any]) -> bool:
    """Of what may be a secret or not, such as a header, the name decides."""
    return SecretStr in kinds and (str not in kinds or is_secret(str(where[-1])))


# -- words for people

_NEED = "has to be "
_NEEDED = {
    "string_type": "has to be text",
    "int_type": "has to be an integer",
    "float_type": "has to be a number",
    "bool_type": "has to be true or false",
    "dict_type": "has to be a mapping (`key: value` lines)",
    "list_type": "has to be a list",
    "model_type": "has to be a mapping (`key: value` lines)",
    "model_attributes_type": "has to be a mapping (`key: value` lines)",
}


def _sentence(detail: Any, where: Where, document: Any) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if detail["loc"] and detail["loc"][-1] == "[key]":
        return "a name has 1 to 64 letters, digits, - or _"
    value = reduce(_member, where, document)
    match kind:
        case "extra_forbidden":
            return _unknown_key(where, document)
        case "missing" | "too_short":
            return {"missing": "is missing", "too_short": "is empty"}[kind]
        case "union_tag_invalid":
            return _unknown("driver", str(context.get("tag")), driver_classes())
        case "union_tag_not_found":
            return f"is missing: one of {', '.join(driver_classes())}"
        case "value_error":
            return str(context.get("error", detail["msg"]))
        case "literal_error":
            return f"has to be {str(context.get('expected')).replace('False', 'false').replace('True', 'true')}"
        case "string_pattern_mismatch":
            return _pattern_sentence(where)
    if kind in _NEEDED:
        return _NEEDED[kind] + _typed_wrong(kind, value)
    return str(detail["msg"]).replace("Input should be ", "has to be ").removeprefix("Value error, ")


def _joined(sentences: Iterable[str]) -> list[str]:
    """What the members of a union say of one value, as one sentence."""
    needs = sorted({text for text in sentences if text.startswith(_NEED)}, key=lambda text: (":" in text, text))
    if any("number" in text for text in needs):
        needs = [text for text in needs if text != _NEEDED["int_type"]]
    others = list(dict.fromkeys(text for text in sentences if not text.startswith(_NEED)))
    return [*([_NEED + " or ".join(text.removeprefix(_NEED) for text in needs)] if needs else []), *others]


def _typed_wrong(kind: str, value: Any) -> str:
    """A hint for what people type."""
    if isinstance(value, str) and (found := FORGOTTEN_SPACE.fullmatch(value)):
        return f": is a space missing behind the colon of {found[1]}:?"
    if kind == "string_type" and isinstance(value, dict):
        return ": text that begins with { has to be in quotes"
    if kind == "string_type" and value is not None and not isinstance(value, list):
        return ": put it in quotes"
    return ""


def _unknown_key(where: Where, document: Any) -> str:
    key = str(where[-1])
    if found := FORGOTTEN_SPACE.fullmatch(key):
        return f"is a space missing behind the colon of {found[1]}:?"
    return _unknown("key", key, _known_keys(where, document))


def _pattern_sentence(where: Where) -> str:
    match where[-1] if where else "":
        case "sensor":
            return "has to be a sensor, such as source.sensor; `*` stands for one part: rooms.*.temperature"
        case "event":
            return "has to be words with dots, such as freezer.too_warm"
    return "has to be 1 to 64 letters, digits, - or _"


def _unknown(what: str, given: str, known: Iterable[str], otherwise: str | None = None) -> str:
    known = sorted(known)
    near = difflib.get_close_matches(given, known, 1, 0.6)
    hint = f"did you mean {near[0]}?" if near else otherwise or f"known: {', '.join(known) or 'none'}"
    return f"unknown {what} {given!r}: {hint}"


def _known_keys(where: Where, document: Any) -> list[str]:
    """The keys that may stand beside an unknown one."""
    kinds: list[Any] = [file_model()]
    for step in where[:-1]:
        document = _member(document, step)
        kinds = [inner for kind in kinds for inner in _inside(kind, step) if _is_of_driver(inner, document)]
    models = [kind for kind in kinds if _is_model(kind)]
    return sorted({field.alias or name for model in models for name, field in model.model_fields.items()})


def _is_of_driver(kind: Any, value: Any) -> bool:
    """Whether a model may be meant, as far as `driver` tells."""
    driver = kind.model_fields.get("driver") if _is_model(kind) else None
    return driver is None or _member(value, "driver") in get_args(driver.annotation)


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


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _member(value: Any, step: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(step)
    if isinstance(value, list) and isinstance(step, int) and step < len(value):
        return value[step]
    return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


_ANY_HOST = ("0.0.0.0", "::")  # noqa: S104  # to be told of, not to be listened on


def _overlap(one: tuple[str, int], other: tuple[str, int]) -> bool:
    """Whether not both addresses can be listened on."""
    hosts = {host.replace("localhost", "127.0.0.1") for host in (one[0], other[0])}
    return one[1] == other[1] and (len(hosts) == 1 or any(host in _ANY_HOST for host in hosts))


# -- which sensors a rule may see

_IN_BRACES = re.compile(r"\{\w+\}")


def _sensor_parts(source: str, model: SourceConfig, sensor: str) -> list[str]:
    """The parts of a sensor's name, with the placeholders of its topic."""
    if not isinstance(model, MqttSource):
        return [source, sensor]
    named = [name for name in parse_topic(model.topic).placeholders if name]
    return [source, *(f"{{{name}}}" for name in named), sensor]


def _may_match(pattern: list[str], parts: list[str]) -> bool:
    """Whether a pattern may name a sensor; a placeholder in it is one of the topic, by its name."""
    return len(pattern) == len(parts) and all(
        wanted in ("*", part) or (bool(placeholders(part)) and not placeholders(wanted))
        for wanted, part in zip(pattern, parts, strict=True)
    )


def _patterns(where: Where, rule: Rule) -> Iterator[tuple[Where, str]]:
    """The sensors that a rule names, and where each stands."""
    if rule.sensor is not None:
        yield (*where, "sensor"), rule.sensor
    for word in ("when", "clear"):
        condition = getattr(rule, word)
        if condition is not None:
            yield from _operand_patterns((*where, word), condition)


def _operand_patterns(where: Where, condition: Condition) -> Iterator[tuple[Where, str]]:
    if condition.sensor is not None:
        yield (*where, "sensor"), condition.sensor
    for word, several in (("all", condition.all_), ("any", condition.any_)):
        for i, one in enumerate(several or ()):
            yield from _operand_patterns((*where, word, i), one)
    if condition.not_ is not None:
        yield from _operand_patterns((*where, "not"), condition.not_)


# -- time zones

_SYSTEM_ZONE = Path("/etc/localtime")


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(_unknown("time zone", name, available_timezones(), "such as Europe/Berlin")) from None


def _system_zone(env: Mapping[str, str] = os.environ) -> tzinfo:
    """The time zone of this machine, with its summer time; UTC where none is set."""
    with contextlib.suppress(ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo(env["TZ"].removeprefix(":")) if env.get("TZ") else _zone_of(_SYSTEM_ZONE)
    return UTC


def _zone_of(path: Path) -> tzinfo:
    with path.open("rb") as file:
        return ZoneInfo.from_file(file)
