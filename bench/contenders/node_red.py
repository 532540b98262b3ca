"""Node-RED from npm, in a folder of its own: mqtt in -> switch -> http request."""

import json
import re
import shutil
import subprocess
from pathlib import Path

from bench.contenders.contender import Contender, Missing, Place
from bench.processes import free_port

_SETTINGS = """
module.exports = {{
    uiHost: "127.0.0.1", uiPort: {port}, flowFile: "flows.json", credentialSecret: false,
    logging: {{console: {{level: "warn", metrics: false, audit: false}}}},
}};
"""
_FLOW = """[
  {"id": "tab", "type": "tab", "label": "bench"},
  {"id": "broker", "type": "mqtt-broker", "broker": "127.0.0.1", "port": "MQTT", "keepalive": "60", "clientid": "",
   "protocolVersion": "4", "cleansession": true, "autoConnect": true, "usetls": false},
  {"id": "heard", "type": "mqtt in", "z": "tab", "broker": "broker", "topic": "bench/+", "qos": "1",
   "datatype": "json", "nl": false, "rap": true, "rh": 0, "wires": [["above"]]},
  {"id": "above", "type": "switch", "z": "tab", "property": "payload.t", "propertyType": "msg",
   "rules": [{"t": "gt", "v": "0", "vt": "num"}], "checkall": "true", "outputs": 1, "wires": [["post"]]},
  {"id": "post", "type": "http request", "z": "tab", "method": "POST", "url": "HOOK", "ret": "txt",
   "paytoqs": "ignore", "persist": true, "senderr": false, "headers": [], "wires": [[]]}
]"""
"""The webhook as users build it in the editor; keep-alive (`persist`) is on, which Node-RED's default is not."""


def install(peers: Path) -> str:
    """The newest version that this Node runs: 5 needs Node 22.9."""
    folder = peers / "node-red"
    npm = shutil.which("npm")
    if npm is None:
        raise Missing("there is no npm")
    if not _program(peers).exists():
        folder.mkdir(parents=True, exist_ok=True)
        wanted = "node-red" if _node_version() >= (22, 9) else "node-red@4"
        command = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--omit=dev", wanted]
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
        if done.returncode:
            raise Missing((done.stderr.strip().splitlines() or ["npm failed"])[-1])
    package = _program(peers).with_name("package.json")
    return str(json.loads(package.read_text(encoding="utf-8"))["version"])


def _node_version() -> tuple[int, ...]:
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(part) for part in re.findall(r"\d+", said)[:2])


def _program(peers: Path) -> Path:
    return peers / "node-red" / "node_modules" / "node-red" / "red.js"


def _command(place: Place) -> tuple[str, ...]:
    flow = _FLOW.replace("MQTT", str(place.mqtt)).replace("HOOK", place.hook)
    (place.folder / "flows.json").write_text(flow, encoding="utf-8")
    settings = place.folder / "settings.js"
    settings.write_text(_SETTINGS.format(port=free_port()), encoding="utf-8")
    return ("node", str(_program(place.peers)), "--userDir", str(place.folder), "--settings", str(settings))


NODE_RED = Contender("Node-RED", "mqtt in, switch, http request with keep-alive", _command, install)
