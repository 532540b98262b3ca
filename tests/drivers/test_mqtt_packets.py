"""Packets out of bytes: paho, which reads the same packets slowly, is the judge."""

import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt._packet import decode_publish
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from drivers.mqtt_packets import PACKET_BYTES_MAX, Inbox, NotMqtt, Publish, acknowledgements, pubcomp

PINGRESP = b"\xd0\x00"
SUBACK = b"\x90\x04\x00\x01\x00\x01"
_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), max_size=20)


@st.composite
def properties(draw: st.DrawFn) -> bytes:
    """Those of a PUBLISH, as paho writes them."""
    made = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    if numbers := draw(st.lists(st.integers(1, 268_435_455), max_size=3)):
        made.SubscriptionIdentifier = numbers
    if draw(st.booleans()):
        made.MessageExpiryInterval = draw(st.integers(0, 2**32 - 1))
    if draw(st.booleans()):
        made.UserProperty = draw(st.lists(st.tuples(_texts, _texts), min_size=1, max_size=3))
    if draw(st.booleans()):
        made.PayloadFormatIndicator, made.ContentType, made.CorrelationData = 1, draw(_texts), draw(st.binary())
    packed: bytes = made.pack()  # type: ignore[no-untyped-call]
    return packed


@st.composite
def packets(draw: st.DrawFn, *, is_5: bool) -> bytes:
    qos = draw(st.integers(0, 2))
    topic = draw(st.binary(min_size=1, max_size=300))
    content = len(topic).to_bytes(2, "big") + topic
    content += draw(st.integers(1, 65535)).to_bytes(2, "big") if qos else b""
    content += draw(properties()) if is_5 else b""
    content += draw(st.binary(max_size=300))
    return bytes([0x30 | qos << 1 | draw(st.sampled_from([0, 1, 8, 9]))]) + _length(len(content)) + content


def _length(number: int) -> bytes:
    found = bytearray()
    while True:
        number, digit = divmod(number, 128)
        found.append(digit | (128 if number else 0))
        if not number:
            return bytes(found)


def as_paho_reads(packet: bytes, *, is_5: bool) -> Publish:
    begin = next(i for i in range(1, 5) if packet[i] < 128) + 1
    version = MQTTProtocolVersion.MQTTv5 if is_5 else MQTTProtocolVersion.MQTTv311
    read = decode_publish(packet[0], packet[begin:], version)
    numbers = tuple(getattr(read.properties, "SubscriptionIdentifier", ()))
    return Publish(read.mid, read.qos, read.dup, read.retain, read.topic, numbers, bytes(read.payload))


def taken(inbox: Inbox, chunks: Iterable[bytes]) -> list[Publish | bytes]:
    found: list[Publish | bytes] = []
    for chunk in chunks:
        inbox.put(chunk)
        while True:
            found += inbox.messages()
            packet = inbox.packet()
            if packet is None:
                break
            found.append(packet)
    return found


@settings(max_examples=60, deadline=None)
@given(data=st.data(), is_5=st.booleans(), seed=st.integers(0, 2**32))
def test_however_the_bytes_come_all_packets_are_found_in_their_order(
    data: st.DataObject, is_5: bool, seed: int
) -> None:
    sent = data.draw(st.lists(packets(is_5=is_5) | st.sampled_from([PINGRESP, SUBACK]), max_size=6))
    stream, chance, chunks = b"".join(sent), random.Random(seed), []
    while stream:
        size = chance.choice([1, 2, 7, 100, 1000])
        chunks.append(stream[:size])
        stream = stream[size:]
    expected = [packet if packet[0] >> 4 != 3 else as_paho_reads(packet, is_5=is_5) for packet in sent]
    inbox = Inbox(is_5=is_5)
    assert taken(inbox, chunks) == expected
    assert not inbox


def test_who_breaks_off_finds_the_other_messages_later() -> None:
    inbox = Inbox(is_5=False)
    inbox.put(b"\x30\x04\x00\x01a1" + b"\x30\x04\x00\x01a2" + PINGRESP)
    for message in inbox.messages():
        assert message.payload == b"1"
        break
    assert inbox
    assert [message.payload for message in inbox.messages()] == [b"2"]
    assert inbox.packet() == PINGRESP
    assert inbox.packet() is None


@pytest.mark.parametrize(
    "packet",
    [
        b"\x32\xff\xff\xff\xff\x01",  # a length of five bytes
        b"\x30\x01\x00",  # no whole length of a topic
        b"\x30\x04\x00\x09ab",  # a topic that is longer than its packet
        b"\x30\x03\x00\x00\x00",  # no topic
        b"\x32\x04\x00\x01a\x00",  # half a packet id
        b"\x32\x05\x00\x01a\x00\x01",  # no length of the properties
        b"\x36\x06\x00\x01a\x00\x01\x00",  # QoS 3
        b"\x32\x06\x00\x01a\x00\x00\x00",  # a packet id of 0
        b"\x30\x00",  # nothing
        b"\x30\x05\x00\x01a\x09\x01",  # properties that are longer than their packet
        b"\x30\x05\x00\x01a\x01\x77",  # a property that there is not
        b"\x30\x07\x00\x01a\x03\x23\x00\x01",  # a topic alias, which nobody allowed
        b"\x30\x06\x00\x01a\x02\x0b\xff",  # half a subscription identifier
        b"\x30\x07\x00\x01a\x03\x03\x00\x09",  # a property that is longer than all of them
    ],
    ids=bytes.hex,
)
def test_what_no_broker_may_send_is_told(packet: bytes) -> None:
    inbox = Inbox(is_5=True)
    inbox.put(packet)
    with pytest.raises(NotMqtt):
        list(inbox.messages())


def test_of_a_message_that_is_too_long_the_beginning_is_taken_and_the_rest_left_out() -> None:
    inbox, more, held = Inbox(is_5=False), 100_000, 0
    packet = b"\x32" + _length(PACKET_BYTES_MAX + more) + b"\x00\x01a\x00\x07" + bytes(PACKET_BYTES_MAX + more - 5)
    messages = []
    for begin in range(0, len(packet), 65_536):
        inbox.put(packet[begin : begin + 65_536] + (PINGRESP if begin + 65_536 >= len(packet) else b""))
        messages += list(inbox.messages())
        held = max(held, len(inbox._bytes))
    ((packet_id, qos, _, _, topic, _, payload),) = messages
    assert (packet_id, qos, topic, len(payload)) == (7, 1, b"a", PACKET_BYTES_MAX - 5)
    assert held < PACKET_BYTES_MAX + 70_000
    assert inbox.packet() == PINGRESP
    assert not inbox


def test_no_other_packet_is_that_long() -> None:
    inbox = Inbox(is_5=True)
    inbox.put(b"\x90" + _length(PACKET_BYTES_MAX + 1) + bytes(PACKET_BYTES_MAX))
    with pytest.raises(NotMqtt):
        inbox.packet()


def test_acknowledgements_are_one_piece_in_their_order() -> None:
    first, second, third, fourth = (
        Publish(packet_id, qos, False, False, b"a", (), b"") for packet_id, qos in ((1, 1), (0, 0), (2, 2), (65535, 1))
    )
    given = acknowledgements([first, second, third, fourth])
    assert given == b"\x40\x02\x00\x01\x50\x02\x00\x02\x40\x02\xff\xff"


def test_a_message_of_qos_2_is_let_go_whatever_comes_with_its_pubrel() -> None:
    assert pubcomp(b"\x62\x02\x01\x02") == b"\x70\x02\x01\x02"
    properties = b"\x26\x00\x01a\x00\xc8" + bytes(200)
    long = b"\x00" + _length(len(properties)) + properties
    assert pubcomp(b"\x62" + _length(2 + len(long)) + b"\x01\x02" + long) == b"\x70\x02\x01\x02"
    for short in (b"\x62\x00", b"\x62\x01\x01"):
        with pytest.raises(NotMqtt):
            pubcomp(short)
