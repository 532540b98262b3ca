"""Bytes into lines, bounded, without I/O.

A line ends with LF, CRLF or CR. A line longer than the bound is let go of to its end and told of once.
After `reset` (a feed that was opened again) a partial line is never glued to what comes next.
"""

from typing import NamedTuple


class Line(NamedTuple):
    """One line without its end; of one that was too long, its beginning."""

    content: bytes
    too_long: bool = False


class LineFramer:
    """Fed with bytes as they come, in whatever pieces."""

    def __init__(self, line_bytes_max: int) -> None:
        self._most = line_bytes_max
        self._partial = bytearray()
        self._too_long = False
        self._after_cr = False

    def feed(self, data: bytes) -> list[Line]:
        """Return the lines that are complete now, without empty ones."""
        if self._after_cr and data[:1] == b"\n":
            data = data[1:]
        if data:
            self._after_cr = data[-1:] == b"\r"
        *ended, rest = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        lines = []
        for piece in ended:
            self._take(piece)
            if self._partial:
                lines.append(Line(bytes(self._partial), self._too_long))
            self.reset()
        self._take(rest)
        return lines

    @property
    def idle(self) -> bool:
        """Whether no partial line waits."""
        return not self._partial

    def reset(self) -> None:
        """Forget a partial line."""
        self._partial.clear()
        self._too_long = False

    def _take(self, piece: bytes) -> None:
        room = self._most - len(self._partial)
        self._too_long = self._too_long or len(piece) > room
        self._partial += piece[:room]
