"""YAML files as plain values with their places: what YAML may say here, and what is refused where."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.yamlfile import DEPTH_MAX, FILE_BYTES_MAX, NODES_MAX, Document, Place, YamlProblem, load


def read(folder: Path, text: str | bytes) -> Document:
    path = folder / "some.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(path, {"!upper": lambda text, _: text.upper(), "!never": refuse})


def refuse(_text: str, _place: Place) -> Any:
    raise ValueError("never")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((word, word) for word in ("ON", "on", "off", "yes", "no", "Y", "n", "NO")),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("5", 5),
        ("-5", -5),
        ("+5", 5),
        ("010", 10),
        ("0o10", 8),
        ("0x10", 16),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("1:30", "1:30"),
        ("00:02:00", "00:02:00"),
        ("2024-01-02", "2024-01-02"),
        ("2024-01-02T03:04:05Z", "2024-01-02T03:04:05Z"),
        ("=", "="),
        ("'5'", "5"),
        ('"\\u00b0C"', "°C"),
        ("!upper word", "WORD"),
        ("!!str 5", "5"),
        ("!!int '5'", 5),
        ("[a, 1, {b: c}]", ["a", 1, {"b": "c"}]),
        ('{"home/{a}": 1}', {"home/{a}": 1}),
        ("|\n   two\n   lines\n", "two\nlines\n"),
    ],
)
def test_a_value_is_what_yaml_1_2_makes_of_it_and_nothing_more(tmp_path: Path, text: str, value: Any) -> None:
    document = read(tmp_path, f"key: {text}\n")
    found = document.value["key"]
    assert (found, type(found), document.problems) == (value, type(value), [])


def test_infinity_and_nan_are_numbers_for_the_models_to_refuse(tmp_path: Path) -> None:
    found = read(tmp_path, "[.inf, -.inf, .nan]").value
    assert [str(one) for one in found] == ["inf", "-inf", "nan"]


def test_a_bom_and_windows_line_ends_are_taken(tmp_path: Path) -> None:
    document = read(tmp_path, b"\xef\xbb\xbfa: 1\r\nb:\r\n  c: 2\r\n")
    assert document.value == {"a": 1, "b": {"c": 2}}
    assert document.places["b", "c"] == Place(3, 6)


def test_each_value_knows_its_place_and_a_block_or_nothing_that_of_its_key(tmp_path: Path) -> None:
    document = read(tmp_path, "a: 1\nb:\n  - x\n  - y: [2, 3]\nc:\n\nd: ~\n")
    assert document.places == {
        (): Place(1, 1),
        ("a",): Place(1, 4),
        ("b",): Place(2, 1),
        ("b", 0): Place(3, 5),
        ("b", 1): Place(4, 5),
        ("b", 1, "y"): Place(4, 5),
        ("b", 1, "y", 0): Place(4, 9),
        ("b", 1, "y", 1): Place(4, 12),
        ("c",): Place(5, 1),
        ("d",): Place(7, 4),
    }


def test_what_came_from_a_tag_is_known(tmp_path: Path) -> None:
    assert read(tmp_path, "a: !upper x\nb: [y, !upper z]\n").tagged == {("a",), ("b", 1)}


def test_an_alias_stands_for_its_anchor_with_a_place_of_its_own(tmp_path: Path) -> None:
    document = read(tmp_path, "a: &x {n: 1}\nb: *x\n")
    assert document.value == {"a": {"n": 1}, "b": {"n": 1}}
    assert document.value["a"] is not document.value["b"]


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("", (1, 1), "the file is empty"),
        ("# nothing\n", (1, 1), "the file is empty"),
        ("%YAML 1.1\n---\na: 1\n", (1, 1), "directive"),
        ("a: 1\n%TAG ! x\n", (2, 1), "directive"),
        ("a: 1\n---\nb: 2\n", (3, 1), "more than one document"),
        (b"a: 1\nb: \xff\n", (2, 1), "not UTF-8"),
        ("a: 1\nb: x\x00y\n", (2, 5), "control character"),
        ("a: 1\nb:\n\tc: 1\n", (3, 1), "a tab; YAML is indented with spaces"),
        ("a:\tb: 1\n", (1, 3), "a tab; YAML is indented with spaces"),
        ("a: 1\ntopic: {a}/b\n", (2, 11), "a text that begins with { has to be in quotes"),
        ("x: {topic: {a}/b, y: 1}\n", (1, 15), "a text that begins with { has to be in quotes"),
        ("x: {topic: home/{a}/b, y: 1}\n", (1, 17), "a text with { has to be in quotes"),
        ("sensor: *.t\n", (1, 9), "a text that begins with * has to be in quotes"),
        ("x: {sensor: *.t, y: 1}\n", (1, 13), "a text that begins with * has to be in quotes"),
        ("path: @x\n", (1, 7), "a text that begins with @ has to be in quotes"),
        ("unit: %\n", (1, 7), "a text that begins with % has to be in quotes"),
        ("when:\n  above: 5\n  below:5\n", (3, 3), "is a space missing behind the colon of below:?"),
        ("a:\n  sensor:x.t\n  when: {above: 5}\n", (2, 3), "is a space missing behind the colon of sensor:?"),
        ("a:\n  - sensor:x.t\n    when: 1\n", (2, 3), "is a space missing behind the colon of sensor:?"),
        ("a: {b: 1\nc: 2\n", (2, 2), "is the bracket of line 1 closed?"),
        ('a: "b\n', (2, 1), "is the quote of line 1 closed?"),
        ("a: b: c\n", (1, 5), "a text with a colon and a space behind it has to be in quotes"),
        ("a: - b\n", (1, 4), "items begin on the lines below their key, or stand in [ ]"),
        ("a:\n  b\n  c: 1\n", (2, 3), "is a colon missing at the end of this line?"),
        ("a:\n  - b\n\t- c\n", (3, 1), "a tab; YAML is indented with spaces"),
        ("a:\n  b: c\n\td: 1\n", (3, 1), "a tab; YAML is indented with spaces"),
        ("a:\n  b: c\n   d: 1\n", (3, 4), "begins in column 4; column 3 (as line 2) or column 1 (as line 1)"),
        ("a:\n  b: 'c'\n # d\n\n   d: 1\n", (5, 4), "column 3 (as line 2) or column 1 (as line 1) would be right"),
        ("a:\n  b: {c: 1}\n   d: 1\n", (3, 4), "column 3 (as line 2) or column 1 (as line 1) would be right"),
        ("a:\n    b: 1\n  c: 2\n", (3, 3), "begins in column 3; column 5 (as line 2) or column 1 (as line 1) would be"),
        ("a: 1\n  b: 2\n", (2, 3), "begins in column 3; column 1 (as line 1) would be right"),
        ("a:\n  - b: 1\n   c: 2\n", (3, 4), "begins in column 4; column 5 (as line 2) or column 1 (as line 1)"),
        ("a:\n  - b: 1\n     c: 2\n", (3, 6), "begins in column 6; column 5 (as line 2) or column 1 (as line 1)"),
        ("a:\n  b:\n  - c\n  d: 1\n   e: 1\n", (5, 4), "column 3 (as line 4) or column 1 (as line 1) would be right"),
        ("a:\n  b:\n    - c\n    d: 1\n", (4, 5), "column 3 (as line 2) or column 1 (as line 1) or a dash before it"),
        ("a:\n    - b\n  - c\n", (3, 3), "begins in column 3; column 5 (as line 2) would be right"),
        ("a:\n  b: 1\n  - c\n", (3, 3), "an item of a list, where the lines around are `key: value`"),
        ("a: *nowhere\n", (1, 4), "found undefined alias"),
        ("a: &x {b: *x}\n", (1, 4), "nested deeper than 32"),
    ],
)
def test_what_is_no_yaml_is_told_with_its_place_and_a_hint(
    tmp_path: Path, text: str | bytes, place: tuple[int, int], words: str
) -> None:
    with pytest.raises(YamlProblem) as caught:
        read(tmp_path, text)
    assert (caught.value.place, words in caught.value.message) == (place, True), caught.value.message


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("rules:\n  warm:\n    sensor: *.t\n", ("rules", "warm", "sensor")),
        ("rules:\n  cold:\n    x: 1\n  warm:\n    x: 1\n\tsensor: y\n", ("rules", "warm", "sensor")),
        ("rules:\n  warm:\n    x: 1\n     y: 1\n", ("rules", "warm", "y")),
        ("rules:\n  warm: # now\n    - x: 1\n    - z:\n        y: @\n", ("rules", "warm", "z", "y")),
        ("rules:\n  warm:\n  - x: @\n", ("rules", "warm", "x")),
        ("sources:\n  a: {b: 1}\nrules:\n  x: {y: @}\n", ("rules", "x")),
        ("@\n", ()),
        ("a:\n  Pass word: @\n", ("a",)),
    ],
)
def test_what_is_no_yaml_is_told_with_the_path_that_its_indentation_tells(
    tmp_path: Path, text: str, path: tuple[str, ...]
) -> None:
    with pytest.raises(YamlProblem) as caught:
        read(tmp_path, text)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("text", "path", "place", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", ("a",), (3, 1), "stands twice"),
        ("x:\n  a: 1\n  'a': 3\n", ("x", "a"), (3, 3), "stands twice"),
        ("x: &x {a: 1}\ny:\n  <<: *x\n", ("y", "<<"), (3, 3), "YAML 1.2 has no merge keys"),
        ("? [a]\n: 1\n", (), (1, 3), "a key that is no plain text"),
        ("x: {{a}: 1}\n", ("x",), (1, 5), "a key that is no plain text"),
        ("a: !uper x\n", ("a",), (1, 4), "unknown tag: did you mean !upper?"),
        ("a: !xyz 1\n", ("a",), (1, 4), "unknown tag: known: !upper, !never"),
        ("a: !!python/object/apply:os.system [ls]\n", ("a",), (1, 4), "unknown tag"),
        ("a: !!binary aGk=\n", ("a",), (1, 4), "unknown tag"),
        ("a: !!set {x}\n", ("a",), (1, 4), "unknown tag"),
        ("a: !upper [x]\n", ("a",), (1, 4), "!upper takes one word"),
        ("a: !never x\n", ("a",), (1, 4), "never"),
        ("a: !!int x\n", ("a",), (1, 4), "not a number"),
        ("a: !!float x\n", ("a",), (1, 4), "not a number"),
        (f"a: {'9' * 5000}\n", ("a",), (1, 4), "not a number"),
        ('a: "\\ud800"\n', ("a",), (1, 4), "no valid Unicode"),
        ('"\\ud800": 1\n', (), (1, 1), "no valid Unicode"),
    ],
)
def test_what_is_wrong_with_one_value_leaves_the_others(
    tmp_path: Path, text: str, path: tuple[Any, ...], place: tuple[int, int], words: str
) -> None:
    document = read(tmp_path, f"{text}\nfine: 1\n")
    assert document.value["fine"] == 1
    [(found, problem)] = document.problems
    assert (found, problem.place) == (path, place)
    assert words in problem.message


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_any_nesting_ends_at_the_same_depth(tmp_path: Path, opening: str) -> None:
    closing = {"[": "]", "{a: ": "}"}.get(opening, "")
    deepest = opening * DEPTH_MAX + "x" + closing * DEPTH_MAX
    if closing:
        assert not read(tmp_path, deepest).problems
    for depth in (DEPTH_MAX + 1, 5000):
        with pytest.raises(YamlProblem, match="nested deeper than 32"):
            read(tmp_path, opening * depth + "x" + closing * depth)


def test_aliases_that_explode_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(YamlProblem, match="more than 50,000 values: do aliases explode") as caught:
        read(tmp_path, "\n".join(lines))
    assert len(read(tmp_path, "\n".join(lines[:4])).places) < NODES_MAX
    assert caught.value.place.line == 1


def test_exactly_so_many_values_are_taken(tmp_path: Path) -> None:
    a, b = f"a: &a [{', '.join('x' * 99)}]", f"b: &b [{', '.join(['*a'] * 100)}]"  # 100 and 10,001 values
    c = "c: [*b, *b, *b, {}]"
    left = NODES_MAX - 1 - 100 - 10_001 - 1 - 3 * 10_001
    assert len(read(tmp_path, "\n".join([a, b, c.format(", ".join("x" * left))])).places) == NODES_MAX
    with pytest.raises(YamlProblem, match="more than 50,000 values"):
        read(tmp_path, "\n".join([a, b, c.format(", ".join("x" * (left + 1)))]))


def test_a_file_of_256_kib_is_read_and_a_larger_one_is_not(tmp_path: Path) -> None:
    text = "a: 1\n" + "#" * (FILE_BYTES_MAX - 6) + "\n"
    assert read(tmp_path, text).value == {"a": 1}
    with pytest.raises(YamlProblem, match="larger than 256 KiB"):
        read(tmp_path, text + "#")


def test_an_endless_file_is_not_read_to_its_end() -> None:
    with pytest.raises(YamlProblem, match="larger than 256 KiB"):
        load(Path("/dev/zero"), {})


@settings(deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60) | st.text("{}[]:-?!&*#|>%@\"' \n\tab1~<", max_size=40))
def test_no_content_raises_anything_else(tmp_path_factory: pytest.TempPathFactory, content: str | bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    try:
        document = load(path, {"!upper": lambda text, _: text.upper()})
    except YamlProblem as problem:
        assert problem.place >= (1, 1)
    else:
        assert document.places[()] >= (1, 1)
