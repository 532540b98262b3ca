"""Checksums of rows: what a card has changed by itself is neither sent nor believed. Pure.

A CRC-32: it sees every single flipped bit, and every burst up to 32; of other damage one in 4 billion goes unseen. It
stands with the row, as a signed number (4 bytes), over all that is sent of a delivery with its id and its receiver, so
a row that points to another event or webhook is found too. Rows from before schema 7 have none: they count as whole.
"""

import zlib

_HALF, _ALL = 2**31, 2**32


def of_delivery(event_id: str, webhook: str, body: bytes | None, headers: str | None, suffix: str | None) -> int | None:
    """Of what is sent; `headers` are JSON, as the file has them.

    None: a damage has changed the type of something, or the body cannot be read.
    """
    before = _texts(event_id, webhook, headers or "", suffix or "")
    return _signed(zlib.crc32(body, before)) if before is not None and isinstance(body, bytes) else None


def of_texts(*texts: str) -> int | None:
    """Of a row of texts: what a rule remembers of a sensor. None: a damage has changed the type of one."""
    found = _texts(*texts)
    return None if found is None else _signed(found)


def differs(kept: int | None, found: int | None) -> bool:
    """Whether a row is damaged: what is of a wrong type is, with or without a checksum."""
    return found is None or (kept is not None and kept != found)


def _texts(*texts: str) -> int | None:
    try:
        return zlib.crc32("\0".join(texts).encode("utf-8", "surrogatepass"))
    except TypeError:
        return None


def _signed(number: int) -> int:
    return number - _ALL if number >= _HALF else number
