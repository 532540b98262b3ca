"""The driver of a serial port: one source, lines, no acknowledgement.

A port that is unplugged is lost and opened again for ever. A partial line is never glued to what comes
after. `ports` opens it; what it has is then read without blocking, as pyserial's own `readline` returns
partial lines. In the intake, from which the batches come, PAUSED and OPEN stand among the lines in the order
in which they came to be.
"""

import asyncio
import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, field_validator, model_validator

from drivers.base import (
    Arrival,
    Batch,
    Driver,
    DriverError,
    FeedState,
    Message,
    Presence,
    Raw,
    Refusal,
    SourceConfig,
    SourceState,
    Surroundings,
)
from drivers.decoding import Decoder, shown
from drivers.framing import Line, LineFramer
from drivers.ports import OPEN_ERRORS, SCHEME, DevicePort, Opened, Port, SocketPort, address_of
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
_OF_A_DEVICE = ("baudrate", "bytesize", "parity", "stopbits")


class SerialSource(SourceConfig):
    """A port as a source."""

    driver: Literal["serial"]
    port: str
    """The path of a device, or `socket://host:port`."""
    baudrate: Annotated[int, Field(ge=50, le=4_000_000)] = 9600
    bytesize: Literal[5, 6, 7, 8] = 8
    parity: Literal["N", "E", "O", "M", "S"] = "N"
    stopbits: Literal[1, 2] = 1
    max_line: Annotated[Size, Field(ge=16, le=1_048_576)] = 4096

    @field_validator("port")
    @classmethod
    def _is_a_port(cls, port: str) -> str:
        if port.startswith(SCHEME):
            address_of(port)
        elif not port.startswith("/") or port == "/":
            raise ValueError("has to be the path of a device, such as /dev/serial/by-id/..., or socket://host:port")
        return port

    @model_validator(mode="after")
    def _sets_up_only_devices(self) -> Self:
        without_sense = [key for key in _OF_A_DEVICE if key in self.model_fields_set]
        if self.port.startswith(SCHEME) and without_sense:
            keys = ", ".join(f"`{key}`" for key in without_sense)
            raise ValueError(f"with socket:// the other side sets up its port: take away {keys}")
        return self

    @property
    def place(self) -> str | tuple[str, int]:
        """What no other source may read as well: the path, or host and port."""
        return address_of(self.port) if self.port.startswith(SCHEME) else self.port


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
        self._clock, self._tap = around.clock, around.tap
        self._decoder = Decoder(source, config.format, config.sensors, config.labels, config.attributes)
        self._names = self._decoder.names(source, {})
        self._framer = LineFramer(config.max_line)
        self._port = _port(config)
        self._intake: deque[_Arrived | Presence] = deque()
        self._intake_bytes = 0
        self._wake = asyncio.Event()
        self._opened: Opened | None = None
        self._opened_at = 0.0
        self._maybe_cut = False
        self._reading = False
        self._lost: str | None = None
        self._closed = False
        self._opening: asyncio.Task[Opened] | None = None
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
                while self._intake and not self._closed:
                    taken = self._taken()
                    self._read_on()
                    yield [self._arrival(arrived) for arrived in taken]
                if self._lost is not None:
                    raise DriverError(self._lost)
                await self._awakened()
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

    def decode(self, raw: Raw) -> Sequence[Message | Presence]:
        """What the source makes of a line."""
        if raw.source != self._source:
            return ()
        return [self._message(_Arrived(raw.at, Line(raw.payload), maybe_cut=False))]

    def behind_since(self) -> float | None:
        """When the oldest line came that waits in the intake."""
        return self._intake[0].at if self._intake else None

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

    def _taken(self) -> list[_Arrived | Presence]:
        taken = [self._intake.popleft() for _ in range(min(len(self._intake), _BATCH_LINES))]
        self._intake_bytes -= sum(len(arrived.line.content) for arrived in taken if isinstance(arrived, _Arrived))
        return taken

    def _stand(self, state: FeedState) -> None:
        """Tell how the source stands, behind the lines that came before."""
        self._state = SourceState(state)
        self._intake.append(Presence(self._clock.now(), self._source, self._source, state))
        self._wake.set()

    def _has_room(self) -> bool:
        return len(self._intake) < _INTAKE_LINES and self._intake_bytes < _INTAKE_BYTES

    # -- the port

    async def _open(self) -> None:
        if self._closed:
            return
        self._lost = None
        self._framer.reset()
        self._opening = asyncio.ensure_future(in_daemon_thread(self._blocking_open, _close))
        try:
            opened = await self._opening
        except asyncio.CancelledError:
            if not self._closed:
                raise
            return
        except OPEN_ERRORS as error:
            raise self._failed(self._port.why(error)) from None
        finally:
            self._opening = None
        self._opened = opened
        if self._closed:
            return
        self._opened_at, self._maybe_cut = self._clock.now(), True
        self._read_on()

    def _blocking_open(self) -> Opened:
        return self._port.open()

    def _read_on(self) -> None:
        """Listen to the port, if there is one and room for what it says."""
        if self._opened is not None and not self._reading and self._has_room():
            asyncio.get_running_loop().add_reader(self._opened.fileno(), self._readable)
            self._reading = True
            self._stand(FeedState.OPEN)

    def _stop_reading(self) -> None:
        if self._opened is not None and self._reading:
            asyncio.get_running_loop().remove_reader(self._opened.fileno())
        self._reading = False

    def _readable(self) -> None:
        if self._opened is None:
            return
        try:
            data = os.read(self._opened.fileno(), _READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(self._port.why(error))
            return
        if not data:
            self._lose(self._port.why(None))
            return
        self._take(data)

    def _look(self) -> None:
        """Notice a device that went away without a sign."""
        if self._opened is not None and self._port.is_gone(self._opened):
            self._lose(self._port.why(None))

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
            self._stop_reading()
            self._stand(FeedState.PAUSED)

    def _lose(self, why: str) -> None:
        self._let_go()
        self._lost = why
        self._state = SourceState(FeedState.LOST, why)
        self._wake.set()

    def _failed(self, why: str) -> DriverError:
        self._state = SourceState(FeedState.LOST, why)
        return DriverError(why)

    def _let_go(self) -> None:
        self._stop_reading()
        opened, self._opened = self._opened, None
        if opened is not None:
            # A driver of the kernel may take seconds to let go of a device that hangs.
            threading.Thread(target=opened.close, daemon=True).start()

    def _arrival(self, arrived: _Arrived | Presence) -> Arrival:
        if isinstance(arrived, Presence):
            return arrived
        if self._tap is not None:
            self._tap(Raw(arrived.at, self.name, None, self._source, arrived.line.content))
        return self._message(arrived)

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


def _close(opened: Opened) -> None:
    opened.close()


def _port(config: SerialSource) -> Port:
    if config.port.startswith(SCHEME):
        return SocketPort(config.port)
    return DevicePort(config.port, {key: getattr(config, key) for key in _OF_A_DEVICE})
