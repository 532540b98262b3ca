"""What people write today: paho and one requests.Session. `python -m bench.contenders.paho_requests MQTT_PORT HOOK`."""

import json
import sys
from typing import Any

import paho.mqtt.client as mqtt
import requests
from paho.mqtt.enums import CallbackAPIVersion

from bench.contenders.contender import Contender, Place
from bench.processes import python


def _command(place: Place) -> tuple[str, ...]:
    return python(__name__, place.mqtt, place.hook)


PAHO_REQUESTS = Contender("paho + requests", "a script with one requests.Session", _command)


def main() -> None:
    session, hook = requests.Session(), sys.argv[2]

    def on_message(_client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        reading = json.loads(message.payload)
        if reading["t"] > 0:
            try:
                session.post(hook, json=reading, timeout=15)
            except requests.RequestException as error:
                print(error, file=sys.stderr)

    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.on_message = on_message
    client.on_connect = lambda c, *_: c.subscribe("bench/+", qos=1)
    client.connect("127.0.0.1", int(sys.argv[1]))
    client.loop_forever()


if __name__ == "__main__":
    main()
