"""Publishes readings at QoS 1: `python -m bench.load PORT COUNT RATE TOPIC [VALUE]`.

RATE 0 is as fast as it goes.

The value of each reading is the time at which it was sent, so that each is told apart and its way can be
timed; a fixed VALUE makes readings that change nothing.
"""

import json
import os
import sys
import time

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion


def main() -> None:
    port, count, rate, topic = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    fixed = float(sys.argv[5]) if len(sys.argv) > 5 else None
    client = mqtt.Client(CallbackAPIVersion.VERSION2, f"load-{os.getpid()}", protocol=mqtt.MQTTv5)
    client.max_inflight_messages_set(200)
    client.connect("127.0.0.1", port)
    client.loop_start()
    begin = time.monotonic()
    for n in range(count):
        if rate:
            time.sleep(max(0.0, begin + n / rate - time.monotonic()))
        value = fixed if fixed is not None else time.monotonic()
        reading = {"t": value, "h": 40.5, "battery": 97, "linkquality": 120, "from": topic}
        last = client.publish(topic, json.dumps(reading), qos=1)
    last.wait_for_publish()
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    main()
