"""Bodies are kept packed: what comes out is what went in, or nothing."""

import zlib
from random import Random

import pytest

from agent.model import Content
from agent.outbox import packing
from agent.outbox.packing import PACKED, PLAIN, Kept, kept, pack, unpack
from agent.webhooks.envelope import envelope
from tests.outbox.parts import event

STANDARD = envelope(event(1, rule="cold"), agent_name="cabin", agent_id="0" * 32, sequence=1)
BODIES = {
    "nothing": b"",
    "short": b"21 C",
    "standard": STANDARD,
    "of chance": Random(1).randbytes(3000),
    "long": STANDARD * 200,
}


@pytest.mark.parametrize("name", BODIES)
def test_what_was_packed_is_unpacked(name: str) -> None:
    assert unpack(*pack(BODIES[name])) == BODIES[name]


def test_the_standard_body_takes_less_than_half_and_what_would_grow_stays_plain() -> None:
    form, data = pack(STANDARD)
    assert (form, len(data) < len(STANDARD) / 2) == (PACKED, True)
    assert pack(BODIES["of chance"]) == (PLAIN, BODIES["of chance"])


def test_damaged_bytes_never_raise_and_their_checksum_tells() -> None:
    whole, chance = kept("evt_1", "ops", Content(STANDARD)), Random(2)
    for _ in range(300):
        data = bytearray(whole.body)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        assert unpack(whole.form, bytes(data)) != STANDARD
    assert unpack(whole.form, whole.body[:-3]) is None
    assert unpack(7, whole.body) is None
    assert unpack(PACKED, "a text") is None  # type: ignore[arg-type]


def test_what_a_former_version_packed_is_read_for_ever() -> None:
    packed = bytes.fromhex(
        "2390060c712782e4c4a44c50c8e18d6c434b7303442c1a9a5999608d6c3cca10919da8074a45f8e31be45e92e21b1ab7"
        "c9f93968b91e2d3a21810e8d50080747a4e28e1e6ce9132dad921a7d00"
    )
    assert unpack(PACKED, packed) == STANDARD


def test_the_dictionary_is_for_ever_what_files_were_packed_with() -> None:
    assert zlib.crc32(packing._DICTIONARY) == 2563384466, "another dictionary is another form"


def test_only_so_much_is_unpacked_and_what_is_as_large_is_not_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    most = 2**14
    bomb = pack(bytes(100 * most))
    monkeypatch.setattr(packing, "_MOST_BYTES", most)
    assert (bomb[0], unpack(*bomb)) == (PACKED, None)
    for size in (most - 1, most, most + 1):
        assert unpack(*pack(bytes(size))) == bytes(size)


def test_the_end_of_a_row_is_all_that_is_sent() -> None:
    assert kept("evt_1", "ops", Content(b"x", {"title": "y"}, "/fail"))[:4] == (PLAIN, b"x", '{"title": "y"}', "/fail")
    assert isinstance(kept("evt_1", "ops", Content(b"x")), Kept)
