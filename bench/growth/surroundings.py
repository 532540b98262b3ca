"""What an agent stands between here: a broker, who publishes readings, and a receiver that counts."""

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from bench.processes import free_port, listening, process, wait_for


@contextmanager
def broker(folder: Path) -> Iterator[int]:
    """A mosquitto that queues without bound, and sends as much as is asked for; yields its port."""
    port = free_port()
    lines = [f"listener {port} 127.0.0.1", "allow_anonymous true", "max_queued_messages 0", "max_inflight_messages 0"]
    settings = folder / "mosquitto.conf"
    settings.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with process(shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-c", str(settings), log=folder / "broker.log"):
        wait_for("the broker", lambda: listening(port))
        yield port


class Readings:
    """Published one sensor after another: `meter.0.t`, `meter.1.t` and so on."""

    def __init__(self, port: int, sensors: int) -> None:
        self.sensors = sensors
        self.said = 0
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.max_inflight_messages_set(1000)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def say(self, count: int, value: float = -1.0, every_s: float = 0.0) -> None:
        """Publish the next ones; returns when the broker has them."""
        told = []
        for _ in range(count):
            told.append(self._publish(value))
            if every_s:
                time.sleep(every_s)
        for one in told:
            one.wait_for_publish(60)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _publish(self, value: float) -> mqtt.MQTTMessageInfo:
        topic = f"bench/{self.said % self.sensors}"
        self.said += 1
        return self._client.publish(topic, f'{{"t": {value}}}', qos=1)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Receiver"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()
        self.server.came()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Receiver(ThreadingHTTPServer):
    """Takes all webhooks and counts them."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port = int(self.server_address[1])
        self.count = 0
        self._lock = threading.Lock()

    def came(self) -> None:
        with self._lock:
            self.count += 1

    @contextmanager
    def open(self) -> Iterator[None]:
        thread = threading.Thread(target=self.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.shutdown()
            self.server_close()
            thread.join()
