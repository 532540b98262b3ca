"""What is sent as the file keeps it: the body packed, where that makes it smaller, with a checksum over it all. Pure.

A card is written in pages, twice for each that is new. The standard body of 500 bytes fills one of 1 KiB, as two do not
fit; packed it takes 130 bytes, since most of it is the same in each: that is the dictionary. Packing takes 7 us (x86),
without the interpreter's lock.
"""

import json
import zlib
from typing import NamedTuple

from agent.model import Content, Delivery
from agent.outbox.checksums import of_delivery

PLAIN, PACKED = 0, 1
"""Forms: as it is sent; raw deflate (RFC 1951) with the dictionary. What has a form keeps it for ever."""
_LEAST_BYTES = 100
_MOST_BYTES = 16 * 2**20
"""So much is unpacked at most, as a damaged body must not fill the memory; one that is as large is kept plain."""
_LEVEL, _WINDOW_BITS, _MEMORY = 3, -11, 4
"""What is quick over a few hundred bytes: it takes 16 KiB of memory."""
_DICTIONARY = (
    b'"payload":{"":""}"sensor.alert.repeated""sensor.alert.resolved","state":"resolved","severity":"warning",'
    b'"severity":"critical","value":true,"value":false,"unit":"","condition":{"below":,"for":"},"started_at":"'
    b'"ended_at":"","reason":"condition","labels":{"":""},"clock":"unsynced","attributes":{"":""},"summary":""'
    b'{"specversion":"1.0","id":"evt_","source":"urn:bellcrank:","type":"sensor.alert.firing",'
    b'"type":"sensor.event","time":"2026-01-01T00:00:00.000Z","timestamp":"2026-01-01T00:00:00.000Z","subject":"",'
    b'"sequence":"00000000000000000000","datacontenttype":"application/json","data":{"alert_id":"alert_","rule":"",'
    b'"state":"firing","severity":"info","sensor":"","value":,"unit":null,"condition":{"above":},"started_at":null,'
    b'"ended_at":null,"reason":null,"labels":{},"agent":"","clock":"synced","attributes":{},"summary":null}}'
)
"""Never to be changed: what is packed with it could be read no more. Another one would be another form.

What is frequent stands last.
"""
_PRIMED = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW_BITS, _MEMORY, zlib.Z_DEFAULT_STRATEGY, _DICTIONARY)
"""It has read the dictionary: a copy is made in half the time."""


class Kept(NamedTuple):
    """The end of a row of `letters`."""

    form: int
    body: bytes
    headers: str | None
    suffix: str | None
    checksum: int | None


def kept(event_id: str, webhook: str, what: Content | Delivery) -> Kept:
    """What one webhook is sent of an event, as the file has it."""
    headers, suffix = json.dumps(dict(what.headers)) if what.headers else None, what.suffix or None
    return Kept(*pack(what.body), headers, suffix, of_delivery(event_id, webhook, what.body, headers, suffix))


def pack(body: bytes) -> tuple[int, bytes]:
    """The form, and the bytes that are kept."""
    if not _LEAST_BYTES <= len(body) < _MOST_BYTES:
        return PLAIN, body
    packer = _PRIMED.copy()
    packed = packer.compress(body) + packer.flush()
    return (PACKED, packed) if len(packed) < len(body) else (PLAIN, body)


def unpack(form: int, data: bytes) -> bytes | None:
    """The body; None: what is kept of it is damaged."""
    if form == PLAIN and isinstance(data, bytes):
        return data
    if form != PACKED or not isinstance(data, bytes):
        return None
    unpacker = zlib.decompressobj(_WINDOW_BITS, _DICTIONARY)
    try:
        body = unpacker.decompress(data, _MOST_BYTES)
    except zlib.error:
        return None
    return body if unpacker.eof else None
