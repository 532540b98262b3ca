"""A paho client that does nothing with what it hears: the measure for readings that change nothing.

`python -m bench.contenders.noop MQTT_PORT HOOK`. Only a reading above 0 is posted, so that the bench sees when all
before it have been heard.
"""

import sys
import threading
import urllib.request
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from bench.contenders.contender import Contender, Place
from bench.load import payload
from bench.processes import python

_NOTHING = payload(-1)[:6].encode()


def _command(place: Place) -> tuple[str, ...]:
    return python(__name__, place.mqtt, place.hook)


NOOP = Contender("paho, no-op", "a client whose callback does nothing (QoS 1, `loop_start`)", _command, tells=False)


def main() -> None:
    def on_message(_client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        if not message.payload.startswith(_NOTHING):
            urllib.request.urlopen(sys.argv[2], data=message.payload, timeout=15).close()

    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
    client.on_message = on_message
    client.on_connect = lambda c, *_: c.subscribe("bench/+", qos=1)
    client.connect("127.0.0.1", int(sys.argv[1]))
    client.loop_start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
