"""Logs to stderr.

One record a line, control characters escaped, with `<N>` priorities for the journal (sd-daemon(3)).
"""

import logging
import os
import sys

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}

_REPEATED_AFTER_S = 60.0
_REMEMBERED_MAX = 100
"""So many different texts."""


class OneLine(logging.Formatter):
    """Escapes what would begin a new line or move a cursor."""

    def __init__(self, *, journal: bool) -> None:
        super().__init__("%(name)s: %(message)s" if journal else "%(asctime)s %(levelname)-8s %(name)s: %(message)s")
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """Write a record, its traceback too, as one line."""
        text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in super().format(record))
        return f"<{_PRIORITIES.get(record.levelno, 6)}>{text}" if self._journal else text


class OnceAMinute(logging.Filter):
    """Holds back what one logger has told in the last minute already, whatever the wall clock does meanwhile.

    asyncio tells of each connection that it cannot take for want of descriptors, up to a hundred times a second.
    """

    def __init__(self, logger: str) -> None:
        super().__init__(logger)
        self._told_at: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is to be told."""
        if not super().filter(record):
            return True  # of another logger
        text = record.getMessage()
        told_at = self._told_at.get(text)
        if told_at is not None and abs(record.created - told_at) < _REPEATED_AFTER_S:
            return False
        if len(self._told_at) >= _REMEMBERED_MAX:
            self._told_at.clear()
        self._told_at[text] = record.created
        return True


def set_up(*, verbose: bool = False) -> None:
    """Send all logs to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine(journal="JOURNAL_STREAM" in os.environ))
    handler.addFilter(OnceAMinute("asyncio"))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
