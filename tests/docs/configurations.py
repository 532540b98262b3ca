"""Fragments of a configuration as whole ones.

The convention: a YAML block that begins with `version:` is a whole file. One that begins with a comment `# NAME.yaml`
is another file of that name. Every other one is a fragment: its top-level keys are sections of a configuration, and
what stands there is put into the small file below, in place of what has the same name there.
"""

import io
import re
from pathlib import Path

from ruamel.yaml import YAML

from agent.config import Config, load
from tests.support.certificates import Authority

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8G"
SMALL = """\
version: 1
brokers:
  house: {url: "mqtt://broker.lan"}
sources:
  freezer: {driver: serial, port: /dev/ttyACM0, sensors: {temperature: {path: t}}}
  doorbell: {driver: mqtt, topic: zigbee2mqtt/front_doorbell, sensors: {button: {path: action}}}
  rooms: {driver: mqtt, topic: "home/{room}/climate", sensors: {temperature: {path: t}, humidity: {path: h}}}
rules: {}
webhooks:
  ops: {url: "https://ops.example.com/hooks/cabin", secrets: [!secret ops_whsec]}
"""
_SECTIONS = {"agent", "brokers", "sources", "rules", "webhooks", "outbox", "status"}


def whole(fragment: str) -> str:
    """The small configuration with a fragment in it."""
    yaml = YAML(typ="rt")
    small, part = yaml.load(SMALL), yaml.load(fragment)
    assert set(part) <= _SECTIONS, f"no sections of a configuration: {set(part) - _SECTIONS}"
    for section, entries in part.items():
        small.setdefault(section, {}).update(entries)
    written = io.StringIO()
    yaml.dump(small, written)
    return written.getvalue()


def checked(text: str, folder: Path) -> Config:
    """A configuration as it is loaded from a file, beside its secrets and with its certificates."""
    if "/etc/bellcrank/page.pem" in text:
        Authority(folder).issue("page")
        text = text.replace("/etc/bellcrank/", f"{folder}/")
    (folder / "bellcrank.yaml").write_text(text, encoding="utf-8")
    names = dict.fromkeys(re.findall(r"!secret (\w+)", text))
    _private(folder / "secrets.yaml", "".join(f"{name}: {SECRET}\n" for name in names))
    return load(folder / "bellcrank.yaml")


def _private(path: Path, text: str) -> Path:
    path.touch(0o600)
    path.write_text(text, encoding="utf-8")
    return path
