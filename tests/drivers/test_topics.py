"""Topics of the configuration: what is subscribed, what matches, how sensors are named."""

from collections.abc import Mapping

import pytest

from drivers.topics import parse_topic, sensor_prefix


@pytest.mark.parametrize(
    ("text", "subscribed"),
    [
        ("zigbee2mqtt/front_doorbell", "zigbee2mqtt/front_doorbell"),
        ("home/{room}/climate", "home/+/climate"),
        ("{site}/{room}/climate", "+/+/climate"),
        ("{all}", "+"),
        ("/leading/{x}", "/leading/+"),
        ("trailing/", "trailing/"),
        ("$SYS/broker/{what}", "$SYS/broker/+"),
        ("küche/{room}", "küche/+"),
    ],
)
def test_a_placeholder_is_subscribed_as_a_plus(text: str, subscribed: str) -> None:
    assert parse_topic(text).filter == subscribed


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a topic is 1 to 1,024 bytes"),
        ("a" * 1025, "a topic is 1 to 1,024 bytes"),
        ("ä" * 513, "a topic is 1 to 1,024 bytes"),
        ("a\0b", "a topic is 1 to 1,024 bytes"),
        ("home/+/climate", "use a placeholder"),
        ("home/#", "no wildcards"),
        ("home/x{room}/climate", "a placeholder is a whole level"),
        ("home/{room", "a placeholder is a whole level"),
        ("home/{}/climate", "a placeholder is a whole level"),
        ("home/{1st}/climate", "a placeholder is a whole level"),
        ("home/{größe}/climate", "a placeholder is a whole level"),
        ("{room}/{room}", "a placeholder stands twice"),
        ("$share/group/home/{room}", "no shared subscription"),
    ],
)
def test_what_is_no_topic_is_told_with_what_would_be_valid(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_topic(text)


@pytest.mark.parametrize(
    ("text", "topic", "values"),
    [
        ("a/b", "a/b", {}),
        ("a/b", "a/b/c", None),
        ("a/b", "a", None),
        ("a/b", "A/b", None),
        ("a/{x}/c", "a/b/c", {"x": "b"}),
        ("a/{x}/c", "a//c", {"x": ""}),
        ("a/{x}/c", "a/b/d", None),
        ("a/{x}", "a/b/c", None),
        ("{x}/{y}", "1/2", {"x": "1", "y": "2"}),
        ("{x}", "küche", {"x": "küche"}),
        ("/{x}", "/b", {"x": "b"}),
        ("/{x}", "b", None),
        ("{x}/broker", "$SYS/broker", None),
        ("$SYS/{x}", "$SYS/broker", {"x": "broker"}),
    ],
)
def test_a_topic_matches_level_by_level(text: str, topic: str, values: Mapping[str, str] | None) -> None:
    assert parse_topic(text).match(topic) == values


@pytest.mark.parametrize(
    ("values", "prefix"),
    [
        ({}, "rooms"),
        ({"room": "kitchen"}, "rooms.kitchen"),
        ({"site": "a", "room": "b"}, "rooms.a.b"),
        ({"room": "v1.2"}, "rooms.v1%2E2"),
        ({"room": "*"}, "rooms.%2A"),
        ({"room": "50%"}, "rooms.50%25"),
        ({"room": "%2E"}, "rooms.%252E"),
        ({"room": ""}, "rooms."),
    ],
)
def test_levels_cannot_break_out_of_the_name_of_a_sensor(values: Mapping[str, str], prefix: str) -> None:
    assert sensor_prefix("rooms", values) == prefix
