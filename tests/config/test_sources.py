"""What a source asks of its messages, as the configuration says it: errors in words, and what a rule means."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from agent.config import Config, ConfigErrors, load

BASE: dict[str, Any] = {
    "version": 1,
    "brokers": {"house": {"url": "mqtt://broker.lan"}},
    "rules": {"r": {"sensor": "s.x", "each": "reading"}},
}


def configured(folder: Path, source: dict[str, Any]) -> Config:
    path = folder / "bellcrank.yaml"
    with path.open("w", encoding="utf-8") as file:
        YAML(typ="safe", pure=True).dump(BASE | {"sources": {"s": {"driver": "mqtt", "topic": "a/b", **source}}}, file)
    return load(path)


def sensor(**words: Any) -> dict[str, Any]:
    return {"sensors": {"x": words}}


CSV, REGEX = {"csv": {"columns": ["t", "h"]}}, {"regex": "T=(?P<t>[-.0-9]+)"}


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (sensor() | {"format": "jsn"}, "sources.s.format: has to be json, keyvalue, number, text, csv,"),
        (sensor() | {"format": "regex"}, "sources.s.format: has to be json,"),
        (sensor() | {"format": {"csv": {}, "regex": "x"}}, "sources.s.format: has to be json,"),
        (sensor() | {"format": {"csv": 5}}, "sources.s.format.csv: has to be a mapping"),
        (sensor() | {"format": {"csv": {"delimitr": ";"}}}, "format.csv.delimitr: unknown key 'delimitr': did you"),
        (sensor() | {"format": {"csv": {"delimiter": ";;"}}}, "format.csv.delimiter: has to be one character"),
        (sensor() | {"format": {"csv": {"columns": []}}}, "format.csv.columns: is empty"),
        (sensor() | {"format": {"csv": {"columns": ["t", 5]}}}, "format.csv.columns.1: has to be text"),
        (sensor() | {"format": {"csv": {"columns": ["t", "t"]}}}, "format.csv.columns: the column 't' stands twice"),
        (sensor() | {"format": {"csv": {"columns": [""]}}}, "format.csv.columns: a column needs a name"),
        (sensor() | {"format": {"regex": "("}}, "format.regex: not a regular expression: missing )"),
        (sensor() | {"format": {"regex": "T=([0-9]+)"}}, "format.regex: names no group"),
        (sensor() | {"format": {"regex": "(?P<t>a+)+"}}, "format.regex: a repeated group"),
        (sensor(path={"a": "b"}), "sensors.x.path: has to be a path: text such as a.b, or a list"),
        (sensor(path="a..b"), "sensors.x.path: has an empty part: write a path"),
        (sensor(path="t") | {"format": "number"}, "sensors.x.path: a payload of the format number is one value"),
        (sensor(path="t") | {"format": "text"}, "sensors.x.path: a payload of the format text is one value"),
        (sensor() | {"format": "keyvalue"}, "sensors.x.path: is missing, and this format has no whole value"),
        (sensor(path=["a", "b"]) | {"format": "keyvalue"}, "sensors.x.path: has to be one name in this format"),
        (sensor(path=5) | {"format": "keyvalue"}, "sensors.x.path: has to be text here"),
        (sensor(path="t") | {"format": "csv"}, "sensors.x.path: without `columns` the fields are numbered"),
        (sensor(path="T") | {"format": CSV}, "sensors.x.path: 'T' is no column: known: t, h"),
        (sensor(path=0) | {"format": CSV}, "sensors.x.path: has to be text here"),
        (sensor(path="T") | {"format": REGEX}, "sensors.x.path: 'T' is no named group: known: t"),
        (sensor(type="float"), "sensors.x.type: has to be 'number', 'text' or 'bool'"),
        (sensor(typ="text"), "sensors.x.typ: unknown key 'typ': did you mean type?"),
        (sensor(map=["ON"]), "sensors.x.map: has to be a mapping"),
        (sensor(map={}), "sensors.x.map: is empty"),
        (sensor(map={"ON": None}), "sensors.x.map.ON: has to be a number, text, true or false"),
        (sensor(scale="x"), "sensors.x.scale: has to be a number"),
        (sensor(valid={"mn": 5}), "sensors.x.valid.mn: unknown key 'mn': did you mean min?"),
        (sensor(valid={"not": 85}), "sensors.x.valid.not: has to be a list"),
        (sensor(valid={"not": [85, None]}), "sensors.x.valid.not.1: has to be a number, text, true or false"),
        (sensor(valid={"min": 5, "max": 4}), "sensors.x.valid: no number is valid"),
        (sensor() | {"attributes": "battery"}, "sources.s.attributes: has to be a list"),
        (sensor() | {"attributes": ["a", 1.5]}, "sources.s.attributes.1: has to be a path"),
        (sensor() | {"attributes": {"a": []}}, "sources.s.attributes.a: has to be a path"),
        (sensor() | {"attributes": {"": "a"}}, "sources.s.attributes"),
        (sensor() | {"attributes": ["a.x", "b.x"]}, "sources.s.attributes: two are named x: give names"),
        (sensor() | {"attributes": ["a..b"]}, "sources.s.attributes.0: has an empty part"),
        (sensor() | {"attributes": {"b": "h"}, "format": REGEX}, "sources.s.attributes.b: 'h' is no named group"),
        (sensor() | {"attributes": ["b"], "format": "text"}, "sources.s.attributes.0: a payload of the format text"),
    ],
)
def test_a_wrong_source_is_told_with_its_place_and_what_would_be_right(
    tmp_path: Path, source: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigErrors) as caught:
        configured(tmp_path, source)
    lines = str(caught.value).splitlines()
    assert any(told in line for line in lines), lines
    assert all(re.match(r".*bellcrank\.yaml:\d+:\d+: sources\.s\.", line) for line in lines), lines
    assert len(lines) == len(set(lines))


@pytest.mark.parametrize(
    "source",
    [
        sensor(path=["params", "temperature:0", "tC"], unit="°C"),
        sensor(path=0),
        sensor(path="Temp.") | {"format": "keyvalue"},
        sensor(path="1") | {"format": "csv"},
        sensor(path=1) | {"format": {"csv": {"delimiter": "\t"}}},
        sensor(path="h") | {"format": CSV, "attributes": ["t"]},
        sensor(path="t") | {"format": REGEX, "attributes": {"temperature": "t"}},
        sensor(map={"ON": True, 1: "one", 2.5: 3}),
        sensor(type="number", map={"low": 1}, scale=-0.1, offset=5, valid={"min": 0, "not": [85], "max_jump": 1}),
        sensor() | {"attributes": [["a", "b.c"], "d.e", 0]},
        sensor() | {"attributes": {"battery %": "battery"}},
    ],
)
def test_a_right_source_is_taken(tmp_path: Path, source: dict[str, Any]) -> None:
    assert configured(tmp_path, source).sources


PLAIN = sensor(path="a.b")


@pytest.mark.parametrize(
    "source",
    [
        sensor(path="a.c"),
        sensor(path="a.b", type="number"),
        sensor(path="a.b", map={"ON": True}),
        sensor(path="a.b", scale=2),
        sensor(path="a.b", offset=2),
        sensor(path="a.b", valid={"min": 1}),
        sensor(path="a.b", valid={"not": [1]}),
        sensor(path="a.b", valid={"max_jump": 1}),
        PLAIN | {"format": "keyvalue"},
        PLAIN | {"format": {"csv": {"columns": ["a.b"]}}},
        PLAIN | {"format": {"csv": {"columns": ["a.b"], "delimiter": ";"}}},
        sensor(path="b") | {"format": {"regex": "(?P<b>.)"}},
        sensor(path="b") | {"format": {"regex": "(?P<b>..)"}},
    ],
)
def test_the_whole_decoding_is_part_of_what_a_rule_means(tmp_path: Path, source: dict[str, Any]) -> None:
    meanings = {str(configured(tmp_path, one).meanings()) for one in (PLAIN, source)}
    assert len(meanings) == 2


@pytest.mark.parametrize(
    "source",
    [
        sensor(path="a.b", unit="°C"),
        sensor(path=["a", "b"]),
        sensor(path="a.b", scale=1, offset=0),
        PLAIN | {"attributes": ["battery"], "labels": {"room": "hall"}, "format": "json", "qos": 0},
    ],
)
def test_unit_attributes_and_ways_of_writing_are_no_part_of_it(tmp_path: Path, source: dict[str, Any]) -> None:
    assert configured(tmp_path, source).meanings() == configured(tmp_path, PLAIN).meanings()
