"""What most faults let be said: a QoS 1 stream of numbers, each of which is an event of its own."""

import asyncio
import json
from collections.abc import Callable
from itertools import count
from random import Random

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

CONFIG = """
version: 1
agent: {{name: storm, events_to: []}}
brokers:
  house: {{url: "mqtt://127.0.0.1:{link}", keepalive: 5s}}
sources:
  button: {{driver: mqtt, topic: "storm/{{room}}/button", sensors: {{press: {{path: n}}}}}}
  level: {{driver: mqtt, topic: "storm/{{room}}/level", sensors: {{height: {{path: n}}}}}}
rules:
  pressed: {{sensor: "button.*.press", each: reading}}
  high: {{sensor: "level.*.height", when: {{above: 0}}}}
webhooks:
  oracle:
    url: http://127.0.0.1:{http}/hook
    secrets: [{secret}]
    delays: [0, 100ms, 200ms]
    rest: {{min: 100ms, max: 500ms}}
status: {{listen: "{{status}}"}}
"""
"""To be filled by `house`."""
RATE_PER_S = 120.0
_ROOMS = 4
_PULSES = 0.6
"""Their share."""
_BEHIND_MAX = 2000
"""So much is published and not told at most: a slow machine must not run into the limits of the broker's queue."""


class Stream:
    """Publishes numbers until stopped: each press is a pulse, each level an alert's begin or end."""

    def __init__(self, port: int, random: Random, rate_per_s: float = RATE_PER_S) -> None:
        self.expected: set[str] = set()
        """What there is to tell of it: `pulse 17`, `firing 1018`."""
        self.count = 0
        self._random, self._rate_per_s = random, rate_per_s
        self._generations = count()
        self.connect(port)

    def connect(self, port: int) -> None:
        """By a new client, who knows nothing of what an old one has not got acknowledged, and of other rooms.

        So what a broker has lost of one generation changes nothing in the meaning of the next.
        """
        generation = next(self._generations)
        self._high = {f"{generation}-{room}": False for room in range(_ROOMS)}
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, f"storm-stream-{generation}")
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    async def run(self, told: Callable[[], int] | None = None) -> None:
        """Publish; with `told`, which counts what has arrived, only as long as not too much is on its way."""
        while True:
            if told is None or self.count - told() < _BEHIND_MAX:
                self._publish()
            await asyncio.sleep(1 / self._rate_per_s)

    def is_connected(self) -> bool:
        """Whether the broker has taken its connection."""
        return bool(self._client.is_connected())

    def close(self) -> None:
        """Publish nothing more; what is not acknowledged is forgotten."""
        self._client.disconnect()
        self._client.loop_stop()

    def _publish(self) -> None:
        self.count += 1
        room = self._random.choice(list(self._high))
        if self._random.random() < _PULSES:
            topic, value, what = f"storm/{room}/button", self.count, f"pulse {self.count}"
        else:
            self._high[room] = high = not self._high[room]
            value = self.count if high else -self.count
            topic, what = f"storm/{room}/level", f"{'firing' if high else 'resolved'} {value}"
        self.expected.add(what)
        self._client.publish(topic, json.dumps({"n": value}), qos=1)
