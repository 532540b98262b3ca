"""Bytes into lines, bounded, without I/O.

A line ends with LF, CRLF or CR; an empty line is no line. A line longer than the bound is told of once, as
soon as it is too long, and let go of to its end. After `reset` (a feed that was opened again) a partial line
is never glued to what comes next.
"""

import re
from typing import NamedTuple

_ENDS = re.compile(rb"[\r\n]+")


class Line(NamedTuple):
    """One line without its end; of one that is too long, its beginning."""

    content: bytes
    too_long: bool = False


class LineFramer:
    """Fed with bytes as they come, in whatever pieces: the lines are the same."""

    def __init__(self, line_bytes_max: int) -> None:
        self._most = line_bytes_max
        self._partial = bytearray()
        self._too_long = False

    def feed(self, data: bytes) -> list[Line]:
        """Return the lines that are complete now, and the one that has become too long."""
        lines: list[Line] = []
        *ended, rest = _ENDS.split(data)
        for piece in ended:
            self._take(piece, lines)
            if self._partial:
                lines.append(Line(bytes(self._partial)))
            self.reset()
        self._take(rest, lines)
        return lines

    @property
    def idle(self) -> bool:
        """Whether no partial line waits."""
        return not self._partial and not self._too_long

    def reset(self) -> None:
        """Forget a partial line."""
        self._partial.clear()
        self._too_long = False

    def _take(self, piece: bytes, lines: list[Line]) -> None:
        if self._too_long:
            return
        self._partial += piece
        if len(self._partial) > self._most:
            lines.append(Line(bytes(self._partial[: self._most]), too_long=True))
            self._partial.clear()
            self._too_long = True
