"""`bellcrank discover`: what there is to be read, with the YAML for it."""

import asyncio
import json
import logging
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from agent.cli.common import (
    UNHEALTHY,
    USAGE,
    config_option,
    duration,
    end,
    json_option,
    load_config,
    plain,
    until_interrupted,
)

if TYPE_CHECKING:
    from agent.discovery.listening import Heard, Port
    from agent.discovery.seen import Place
    from drivers.mqtt import BrokerConfig

T = TypeVar("T")


@click.group()
def discover() -> None:
    """Find out what there is to be read, and print the YAML for it."""


@discover.command("mqtt")
@config_option
@click.option("--url", help="A broker, such as mqtt://broker.lan; default: the one of the configuration.")
@click.option("--broker", "name", help="Which of the configuration's brokers.")
@click.option("--topic", default="#", show_default=True, help="A topic filter, such as zigbee2mqtt/#.")
@click.option("--for", "for_s", type=duration, default="10s", show_default=True, help="How long to listen.")
@json_option
def discover_mqtt(
    config_path: Path | None, url: str | None, name: str | None, topic: str, for_s: float, *, as_json: bool
) -> None:
    """Listen to a broker, and tell its topics with their fields, kinds and rates."""
    from agent.discovery.listening import hear_broker, placeholders
    from agent.discovery.suggest import grouped, sources_yaml

    try:
        placeholders(topic)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--topic") from None
    broker = _broker(config_path, url, name)

    async def run() -> "Heard":
        return await hear_broker(broker, topic, until_interrupted(), for_s)

    heard = _quietly(run())
    _complain(heard)
    if not heard.seen.places and heard.troubles:
        sys.exit(UNHEALTHY)
    if as_json:
        _echo_json([_document(topic, place) for topic, place in sorted(heard.seen.places.items())])
    else:
        click.echo(sources_yaml(grouped(heard.seen.places), heard.announced, for_s), nl=False)


@discover.command("serial")
@click.option("--port", help="Only this one; default: all that a device is behind.")
@click.option("--baudrate", type=int, help="Only this speed; default: the usual ones in turn, until lines can be read.")
@click.option("--for", "for_s", type=duration, default="5s", show_default=True, help="How long to listen at a speed.")
@json_option
def discover_serial(port: str | None, baudrate: int | None, for_s: float, *, as_json: bool) -> None:
    """List the serial ports, and tell what each says."""
    from agent.discovery.listening import BAUDRATES, Port, hear_port, ports
    from agent.discovery.seen import Place

    found = [Port(port, "")] if port else ports()
    if not found:
        end("no serial port with a device behind it: is it plugged in? (`dmesg | tail` tells)", UNHEALTHY)
    speeds = [baudrate] if baudrate else BAUDRATES

    async def run(one: Port) -> "tuple[int, Heard]":
        return await hear_port(one.path, speeds, until_interrupted(), for_s)

    documents = []
    for one in found:
        speed, heard = _quietly(run(one))
        place = heard.seen.places.get(one.path, Place())
        _complain(heard)
        if not as_json and not heard.troubles:
            _tell_port(one, place, speed, for_s)
        documents.append({**_document(one.path, place), "description": one.description, "baudrate": speed})
    if as_json:
        _echo_json(documents)


def _quietly(listening: Coroutine[Any, Any, T]) -> T:
    """Listen; what could not be heard is told at the end."""
    logging.disable(logging.WARNING)
    try:
        return asyncio.run(listening)
    finally:
        logging.disable(logging.NOTSET)


def _tell_port(port: "Port", place: "Place", baudrate: int, for_s: float) -> None:
    from agent.discovery.suggest import Suggested, sources_yaml

    silent = "" if place.messages else "  says nothing that is a line"
    click.echo(f"# {port.path}  {plain(port.description)}{silent}")
    if place.messages:
        suggested = Suggested(port.path, (port.path,), place)
        click.echo(sources_yaml([suggested], [], for_s, baudrate=baudrate), nl=False)


def _broker(config_path: Path | None, url: str | None, name: str | None) -> "BrokerConfig":
    from pydantic import ValidationError

    from drivers.mqtt import BrokerConfig

    if url is not None:
        try:
            return BrokerConfig(url=url)
        except ValidationError as error:
            raise click.BadParameter(error.errors()[0]["msg"], param_hint="--url") from None
    brokers = load_config(config_path).brokers
    name = name or (next(iter(brokers)) if len(brokers) == 1 else "")
    if name not in brokers:
        end(f"which broker? known: {', '.join(brokers) or 'none'}; choose with --broker, or give a --url", USAGE)
    return brokers[name]


def _complain(heard: "Heard") -> None:
    """Tell why nothing could be heard, or not all."""
    for trouble in heard.troubles:
        click.echo(f"# {plain(trouble) or 'not reached in time'}", err=True)
    if heard.seen.overlooked:
        click.echo(f"# too many places: {heard.seen.overlooked} messages of others are left out", err=True)


def _document(where: str, place: "Place") -> dict[str, Any]:
    return {
        "where": where,
        "messages": place.messages,
        "retained": place.retained,
        "format": place.format,
        "fields": [{"path": path, "kind": field.kind, "seen": str(field)} for path, field in place.fields.items()],
    }


def _echo_json(documents: list[dict[str, Any]]) -> None:
    click.echo(json.dumps(documents, indent=2, ensure_ascii=False))
