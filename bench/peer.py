"""What people write today: paho and one requests.Session. `python -m bench.peer MQTT_PORT HTTP_PORT`."""

import json
import sys
from typing import Any

import paho.mqtt.client as mqtt
import requests
from paho.mqtt.enums import CallbackAPIVersion

session = requests.Session()
hook = f"http://127.0.0.1:{sys.argv[2]}/hook"


def on_message(_client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
    reading = json.loads(message.payload)
    if reading["t"] > 0:
        session.post(hook, json=reading, timeout=15)


client = mqtt.Client(CallbackAPIVersion.VERSION2, "peer", protocol=mqtt.MQTTv5)
client.on_message = on_message
client.on_connect = lambda c, *_: c.subscribe("bench/#", qos=1)
client.connect("127.0.0.1", int(sys.argv[1]))
client.loop_forever()
