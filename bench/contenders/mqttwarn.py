"""mqttwarn from PyPI, in a virtual environment of its own."""

import subprocess
import sys
from pathlib import Path

from bench.contenders.contender import Contender, Missing, Place

_SETTINGS = """
[defaults]
hostname = '127.0.0.1'
port = {mqtt}
clientid = 'mqttwarn'
loglevel = WARNING
launch = http_urllib
functions = 'functions.py'

[config:http_urllib]
targets = {{'hook': ['post', '{hook}', None, None, True]}}

[bench/+]
qos = 1
targets = http_urllib:hook
filter = unchanged()
"""
_FUNCTIONS = """
import json

def unchanged(topic, message, section, srv):
    return json.loads(message)["t"] <= 0
"""


def _python(peers: Path) -> Path:
    return peers / "mqttwarn" / "bin" / "python"


def install(peers: Path) -> str:
    python = _python(peers)
    try:
        if not python.exists():
            _run(sys.executable, "-m", "venv", str(peers / "mqttwarn"))
        if "mqttwarn" not in _run(str(python), "-m", "pip", "list", "--format", "freeze"):
            _run(str(python), "-m", "pip", "install", "--quiet", "mqttwarn")
        return _run(str(python), "-c", "import importlib.metadata as m; print(m.version('mqttwarn'))").strip()
    except subprocess.CalledProcessError as error:
        raise Missing((error.stderr.strip().splitlines() or [str(error)])[-1]) from error


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout


def _command(place: Place) -> tuple[str, ...]:
    settings = place.folder / "mqttwarn.ini"
    (place.folder / "functions.py").write_text(_FUNCTIONS, encoding="utf-8")
    settings.write_text(_SETTINGS.format(mqtt=place.mqtt, hook=place.hook), encoding="utf-8")
    return (str(_python(place.peers).with_name("mqttwarn")), f"--config-file={settings}")


MQTTWARN = Contender("mqttwarn", "with its service http_urllib", _command, install)
