"""What the configuration says of brokers and their sources."""

from typing import Annotated, Any, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    StringConstraints,
    field_validator,
    model_validator,
)

from drivers.base import SourceConfig
from drivers.settings import Settings
from drivers.tls import Tls
from drivers.topics import named, parse_topic
from drivers.units import Duration, Name, Size
from drivers.urls import split_url

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_NO_URL = (
    "not a URL of a broker: use mqtt://host, mqtt://host:1883, mqtts://host (TLS, port 8883)"
    " or unix:///run/mosquitto.sock"
)


def _is_a_topic(topic: str) -> str:
    parse_topic(topic)
    return topic


def _is_plain(topic: str | Literal[False]) -> str | Literal[False]:
    if topic is not False and (named(parse_topic(topic)) or topic.startswith("$")):
        raise ValueError("has to be a topic without placeholders, or false")
    return topic


def _as_text(version: Any) -> Any:
    """YAML reads 5 as a number."""
    return str(version) if type(version) is int else version


class BrokerConfig(Settings):
    """A broker in the configuration."""

    url: str
    username: str | None = None
    password: SecretStr | None = None
    protocol: Annotated[Literal["auto", "5", "3.1.1"], BeforeValidator(_as_text)] = "auto"
    client_id: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    keepalive: Annotated[Duration, Field(ge=1, le=65_535)] = 60.0
    session_expiry: Annotated[Duration, Field(ge=1, le=0xFFFF_FFFE)] = 7 * 86400.0
    max_payload: Annotated[Size, Field(ge=1, le=8 * 1024 * 1024)] = 256 * 1024
    availability_topic: Annotated[str | Literal[False], AfterValidator(_is_plain)] | None = None
    """None is `bellcrank/<name>/state`; False: the agent tells nobody whether it is there."""
    tls: Tls | None = None

    @field_validator("url")
    @classmethod
    def _is_a_broker(cls, url: str) -> str:
        parts = split_url(url, _NO_URL)
        on_unix = parts.scheme == "unix" and not parts.netloc and len(parts.path) > 1
        on_tcp = parts.scheme in _PORTS and parts.hostname and parts.path in ("", "/")
        if parts.username or parts.password:
            raise ValueError("a user name or password in the URL: use `username` and `password`")
        if not (on_unix or on_tcp) or parts.query or parts.fragment:
            raise ValueError(_NO_URL)
        return url

    @model_validator(mode="after")
    def _has_tls_where_it_is_used(self) -> Self:
        if self.tls is not None and not self.url.startswith("mqtts:"):
            raise ValueError("`tls` is for mqtts:// alone")
        return self

    @property
    def is_unix(self) -> bool:
        """Whether the URL is of a unix socket."""
        return self.url.startswith("unix:")

    @property
    def host(self) -> str:
        """The host of the URL, or the path of its unix socket."""
        parts = urlsplit(self.url)
        return unquote(parts.path) if self.is_unix else parts.hostname or ""

    @property
    def port(self) -> int:
        """The port of the URL: 1883, with TLS 8883 by default."""
        parts = urlsplit(self.url)
        return parts.port or _PORTS.get(parts.scheme, 1883)


class Availability(Settings):
    """Where a source, or each device of it, is said to be there or away."""

    topic: Annotated[str, AfterValidator(_is_a_topic)]
    online: str = "online"
    offline: str = "offline"

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if self.online == self.offline:
            raise ValueError("`online` and `offline` are the same")
        return self


class MqttSource(SourceConfig):
    """A topic as a source."""

    driver: Literal["mqtt"]
    broker: Name | None = None
    topic: Annotated[str, AfterValidator(_is_a_topic)]
    qos: Literal[0, 1] = 1
    retained: Literal["seed", "ignore", "fire"] = "seed"
    availability: Availability | None = None

    @model_validator(mode="after")
    def _has_its_placeholders(self) -> Self:
        """A device is named by the first placeholders of the topic, as its sensors' names begin with them."""
        if self.availability is not None:
            mine, theirs = named(parse_topic(self.topic)), named(parse_topic(self.availability.topic))
            if set(theirs) != set(mine[: len(theirs)]):
                known = f"those of `topic`, from the first one on ({', '.join(mine)})" if mine else "none, as `topic`"
                raise ValueError(f"the placeholders of `availability.topic` may be {known}")
        return self
