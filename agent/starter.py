"""`bellcrank config init`: a first configuration that runs as it is, and its secrets. Nothing is overwritten."""

import json
import os
from pathlib import Path
from shlex import quote
from typing import NamedTuple

from agent.service import Service
from drivers.signing import new_secret

CONFIG = """\
# The configuration of bellcrank. It runs as it is, with an MQTT broker on this machine; to see it work:
#
#   bellcrank run --config {config}
#   bellcrank listen --secret-file {secrets}
#   mosquitto_pub -q 1 -t home/kitchen/climate -m '{{"temperature": 31.5}}'
#
# After a change `bellcrank config check` tells everything that is wrong; `bellcrank config show` prints all defaults.
# An editor completes the words after `bellcrank config schema >bellcrank.schema.json` and with this comment up here:
# "yaml-language-server: $schema=bellcrank.schema.json".
version: 1
{agent}
brokers:
  house:
    url: mqtt://127.0.0.1:1883      # MQTT 5
    # username: bellcrank
    # password: !secret mqtt_password   # from secrets.yaml beside this file

sources:
  rooms:
    driver: mqtt
    topic: "home/{{room}}/climate"    # a placeholder is one level: rooms.kitchen.temperature
    sensors:
      temperature: {{path: temperature, unit: "°C"}}
  # meter:
  #   driver: serial
  #   port: /dev/serial/by-id/...
  #   sensors:
  #     temperature: {{path: t, unit: "°C"}}

rules:
  too_hot:
    sensor: rooms.*.temperature     # its own memory for each room
    when: {{above: 30}}
    clear: {{below: 29}}              # so that it does not flutter
    # for: 2m                       # only when it lasts
    severity: warning
  # doorbell:
  #   sensor: door.button
  #   each: {{equals: pressed}}       # a pulse for each reading that matches

webhooks:
  here:
    url: http://127.0.0.1:9000/     # `bellcrank listen`; put your receiver in its place
    secrets: [{secret}]   # the receiver verifies each event with it
{status}"""
SECRETS = """\
# Secrets by name, for `!secret NAME` in {name}. Nobody else may read this file.
here_whsec: {secret}
# mqtt_password: "..."
"""
_INSTANCE = """
agent:
  name: {name}
  # Each of several agents has its own name, which brokers and receivers know it by, its own state and its own page.
  state_dir: {state}
"""
_INSTANCE_STATUS = """
status:
  listen: 127.0.0.1:{port}
"""


class Instance(NamedTuple):
    """One of several agents on a machine."""

    service: Service
    host: str
    port: int
    """Of its status page."""


def write(config: Path, random: bytes, instance: Instance | None = None) -> Path:
    """Write both files, with a secret of 32 random bytes. Returns the path of the secret's file.

    That is secrets.yaml, but for one of several agents a file of its own, since they share the folder.
    Raises FileExistsError where one of them is there already, OSError; then neither is written.
    """
    config.parent.mkdir(parents=True, exist_ok=True)
    if instance is None:
        path, reference, secrets = config.with_name("secrets.yaml"), "!secret here_whsec", SECRETS
        agent = status = ""
    else:
        path = config.with_suffix(".whsec")
        reference, secrets = f"!file {path.name}", "{secret}\n"
        name = f"{instance.host}-{instance.service.instance}"
        agent = _INSTANCE.format(name=json.dumps(name), state=instance.service.state)
        status = _INSTANCE_STATUS.format(port=instance.port)
    _create(path, secrets.format(name=config.name, secret=new_secret(random)), 0o600)
    words = {"config": quote(str(config)), "secrets": quote(str(path)), "secret": reference}
    try:
        _create(config, CONFIG.format(**words, agent=agent, status=status), 0o644)
    except OSError:
        path.unlink()
        raise
    return path


def _create(path: Path, text: str, mode: int) -> None:
    """Write a new file that from its first moment only those may read who should."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)
