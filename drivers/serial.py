"""The driver of a serial port: one source, lines, no acknowledgement.

A port that is unplugged is lost and opened again for ever. A partial line is never glued to what comes
after. pyserial opens and sets up the port; what it has is then read without blocking, as pyserial's own
`readline` returns partial lines.
"""

import asyncio
import errno
import os
import termios
import threading
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import serial
from pydantic import Field, StringConstraints

from drivers.base import (
    Batch,
    Driver,
    DriverError,
    FeedState,
    Message,
    Refusal,
    SourceConfig,
    SourceState,
    Surroundings,
)
from drivers.decoding import Decoder, shown
from drivers.framing import Line, LineFramer
from drivers.threads import in_daemon_thread
from drivers.units import Size

_READ_BYTES = 4096
_BATCH_LINES = 1000
_INTAKE_LINES = 4000
_INTAKE_BYTES = 1_048_576
"""Beyond them the port is not read, until there is room again."""
_MID_LINE_S = 0.1
"""What comes so soon after opening may be the rest of a line that began before."""
_LOOK_EVERY_S = 2.0
"""How often a silent port is looked at: is it still the one that the path names?"""
_ADVICE = {
    errno.ENOENT: "there is no such port: is it plugged in?",
    errno.EACCES: "no permission: the agent's user has to be in the group dialout",
    errno.EBUSY: "another program has the port open",
    errno.EAGAIN: "another program has the port open",
    errno.EIO: "the device is gone",
    errno.ENXIO: "the device is gone",
    errno.ENODEV: "the device is gone",
}


class SerialSource(SourceConfig):
    """A port as a source."""

    driver: Literal["serial"]
    port: Annotated[str, StringConstraints(pattern=r"^/.+")]
    baudrate: Annotated[int, Field(ge=50, le=4_000_000)] = 9600
    bytesize: Literal[5, 6, 7, 8] = 8
    parity: Literal["N", "E", "O", "M", "S"] = "N"
    stopbits: Literal[1, 2] = 1
    max_line: Annotated[Size, Field(ge=16, le=1_048_576)] = 4096


class _Arrived(NamedTuple):
    at: float
    line: Line
    maybe_cut: bool


class SerialDriver(Driver):
    """One port."""

    Source = SerialSource

    def __init__(self, source: str, config: SerialSource, around: Surroundings) -> None:
        self.name = f"serial:{source}"
        self._source = source
        self._config = config
        self._clock = around.clock
        self._decoder = Decoder(source, config.format, config.sensors, config.labels, config.attributes)
        self._names = self._decoder.names(source, {})
        self._framer = LineFramer(config.max_line)
        self._intake: deque[_Arrived] = deque()
        self._intake_bytes = 0
        self._wake = asyncio.Event()
        self._port: serial.Serial | None = None
        self._opened_at = 0.0
        self._maybe_cut = False
        self._reading = False
        self._lost: str | None = None
        self._closed = False
        self._opening: asyncio.Task[serial.Serial] | None = None
        self._state = SourceState(FeedState.CONNECTING)

    @classmethod
    def feeds(cls, sources: Mapping[str, Any], around: Surroundings) -> Sequence[Self]:
        """One feed for each port."""
        return [cls(name, config, around) for name, config in sources.items()]

    async def batches(self) -> AsyncIterator[Batch]:
        """Open the port and yield its lines as messages."""
        try:
            await self._open()
            while not self._closed:
                await self._awakened()
                while self._intake and not self._closed:
                    taken = self._taken()
                    self._read_on()
                    yield [self._message(arrived) for arrived in taken]
                if self._lost is not None:
                    raise DriverError(self._lost)
        finally:
            self._let_go()

    async def close(self) -> None:
        """Close the port."""
        self._closed = True
        self._state = SourceState(FeedState.LOST, "closed")
        if self._opening is not None:
            self._opening.cancel()
        self._let_go()
        self._wake.set()

    def states(self) -> Mapping[str, SourceState]:
        """The state of the one source."""
        return {self._source: self._state}

    # -- the intake

    async def _awakened(self) -> None:
        """Wait until there is something to do."""
        while not self._wake.is_set():
            try:
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await self._wake.wait()
            except TimeoutError:
                self._look()
        self._wake.clear()

    def _taken(self) -> list[_Arrived]:
        taken = [self._intake.popleft() for _ in range(min(len(self._intake), _BATCH_LINES))]
        self._intake_bytes -= sum(len(arrived.line.content) for arrived in taken)
        return taken

    def _has_room(self) -> bool:
        return len(self._intake) < _INTAKE_LINES and self._intake_bytes < _INTAKE_BYTES

    # -- the port

    async def _open(self) -> None:
        if self._closed:
            return
        self._lost = None
        self._framer.reset()
        self._opening = asyncio.ensure_future(in_daemon_thread(self._blocking_open, serial.Serial.close))
        try:
            port = await self._opening
        except asyncio.CancelledError:
            if not self._closed:
                raise
            return
        except (OSError, ValueError, termios.error) as error:
            raise self._failed(_why(self._config.port, error)) from None
        finally:
            self._opening = None
        self._port = port
        if self._closed:
            return
        self._opened_at, self._maybe_cut = self._clock.now(), True
        self._state = SourceState(FeedState.OPEN)
        self._read_on()

    def _blocking_open(self) -> serial.Serial:
        config = self._config
        return serial.Serial(
            config.port,
            baudrate=config.baudrate,
            bytesize=config.bytesize,
            parity=config.parity,
            stopbits=config.stopbits,
            timeout=0,
            exclusive=True,
        )

    def _read_on(self) -> None:
        """Listen to the port, if there is one and room for what it says."""
        if self._port is not None and not self._reading and self._has_room():
            asyncio.get_running_loop().add_reader(self._port.fileno(), self._readable)
            self._reading = True

    def _pause(self) -> None:
        if self._port is not None and self._reading:
            asyncio.get_running_loop().remove_reader(self._port.fileno())
        self._reading = False

    def _readable(self) -> None:
        if self._port is None:
            return
        try:
            data = os.read(self._port.fileno(), _READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(_why(self._config.port, error))
            return
        if not data:
            self._lose(f"{self._config.port}: {_ADVICE[errno.ENODEV]}")
            return
        self._take(data)

    def _look(self) -> None:
        """Notice a device that went away without a sign: its path is gone, or names another one."""
        if self._port is None:
            return
        try:
            same = Path(self._config.port).stat().st_rdev == os.fstat(self._port.fileno()).st_rdev
        except OSError:
            same = False
        if not same:
            self._lose(f"{self._config.port}: {_ADVICE[errno.ENODEV]}")

    def _take(self, data: bytes) -> None:
        now = self._clock.now()
        if self._maybe_cut and now - self._opened_at > _MID_LINE_S and self._framer.idle:
            self._maybe_cut = False
        for line in self._framer.feed(data):
            self._intake.append(_Arrived(now, line, self._maybe_cut))
            self._intake_bytes += len(line.content)
            self._maybe_cut = False
            self._wake.set()
        if not self._has_room():
            self._pause()

    def _lose(self, why: str) -> None:
        self._let_go()
        self._lost = why
        self._state = SourceState(FeedState.LOST, why)
        self._wake.set()

    def _failed(self, why: str) -> DriverError:
        self._state = SourceState(FeedState.LOST, why)
        return DriverError(why)

    def _let_go(self) -> None:
        self._pause()
        port, self._port = self._port, None
        if port is not None:
            # A driver of the kernel may take seconds to let go of a device that hangs.
            threading.Thread(target=port.close, daemon=True).start()

    def _message(self, arrived: _Arrived) -> Message:
        line = arrived.line
        if line.too_long:
            return self._refused(arrived, "too_large")
        if arrived.maybe_cut and not self._is_whole(line.content):
            return self._refused(arrived, "cut_line")  # not decoded: half a number must not count for `max_jump`
        readings, refusals = self._decoder.decode(line.content, self._names, retained=False)
        if arrived.maybe_cut and not readings:
            return self._refused(arrived, "cut_line")
        return Message(arrived.at, (self._source,), readings, refusals)

    def _is_whole(self, line: bytes) -> bool:
        """Whether a line, if it can be decoded, shows by its form that its beginning is not missing.

        A JSON object does; the number 1.5 may be the rest of 21.5.
        """
        return self._config.format == "json" and line.lstrip()[:1] in (b"{", b"[")

    def _refused(self, arrived: _Arrived, reason: str) -> Message:
        refusal = Refusal(self._source, None, reason, shown(arrived.line.content))
        return Message(arrived.at, (self._source,), (), (refusal,))


def _why(port: str, error: Exception) -> str:
    """What to tell people of an error."""
    number = error.errno if isinstance(error, OSError) else None
    advice = _ADVICE.get(number) if number is not None else None
    return f"{port}: {advice or error}"
