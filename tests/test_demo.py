"""`bellcrank demo`, the whole of it, as a user runs it."""

import asyncio
import subprocess
import sys

import pytest


@pytest.mark.timeout(120)
async def test_the_demo_delivers_from_mqtt_and_serial_and_loses_nothing() -> None:
    command = [sys.executable, "-m", "agent", "demo", "--for", "20s"]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for text in (
        "sensor.event, someone_at_the_door",
        "sensor.alert.firing, too_cold",
        "the receiver goes away",
        "the receiver is back",
        "kill -9",
        "lost: 0",
        "gaps in `sequence`: 0",
    ):
        assert text in done.stdout
