"""Logs to stderr.

One record a line, control characters escaped, with `<N>` priorities for the journal (sd-daemon(3)).
"""

import logging
import os
import sys

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class OneLine(logging.Formatter):
    """Escapes what would begin a new line or move a cursor."""

    def __init__(self, *, journal: bool) -> None:
        super().__init__("%(name)s: %(message)s" if journal else "%(asctime)s %(levelname)-8s %(name)s: %(message)s")
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """Write a record, its traceback too, as one line."""
        text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in super().format(record))
        return f"<{_PRIORITIES.get(record.levelno, 6)}>{text}" if self._journal else text


def set_up(*, verbose: bool = False) -> None:
    """Send all logs to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine(journal="JOURNAL_STREAM" in os.environ))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
