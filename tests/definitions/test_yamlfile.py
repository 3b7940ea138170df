"""Is what stands in a file taken as its writer sees it, and everything else refused by line?"""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcdoctor.definitions.mistake import DefinitionError
from hpcdoctor.definitions.yamlfile import LIMIT_BYTES, load_yaml, merge, parse_yaml, plain

FILE = Path("x.yaml")


def refusal(text: bytes | str) -> str:
    with pytest.raises(DefinitionError) as refused:
        parse_yaml(text if isinstance(text, bytes) else text.encode(), FILE)
    said = str(refused.value)
    assert "\n" not in said
    return said


def test_every_key_knows_its_line_also_inside() -> None:
    found = parse_yaml(b"a: 1\nb:\n  c: 2\n\n  d: [1, 2]\n", FILE)
    assert plain(found) == {"a": 1, "b": {"c": 2, "d": [1, 2]}}
    assert (found.place("b").line, found["b"].place("d").line) == (2, 5)
    assert found.place("absent").line == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", "x.yaml:3: `a` stands twice, first in line 1"),
        ("a:\n  b: 1\n  b: 2\n", "x.yaml:3: `b` stands twice, first in line 2"),
        ("79: a\n'79': b\n", "x.yaml:2: `79` stands twice"),
        ("a: &x 1\nb: *x\n", "x.yaml:1: anchors and aliases"),
        ("a: *x\n", "x.yaml:1: anchors and aliases"),
        ("<<: {a: 1}\n", "x.yaml:1: merge keys"),
        ("a: !!set {b}\n", "x.yaml:1: tags (!!) are not used here"),
        ("a: !!binary aGk=\n", "x.yaml:1: tags (!!) are not used here"),
        ("a: !!python/name:os.system x\n", "x.yaml:1: tags (!!) are not used here"),
        ("a: 1\nwhen: !mounted\n", "x.yaml:2: `!mounted`: quote a text that begins with `!`"),
        ("enabled: no\n", "x.yaml:1: YAML reads `no` as false; write false, or quote it"),
        ("on: 1\n", "x.yaml:1: YAML reads `on` as true"),
        ("mode: Off\n", "x.yaml:1: YAML reads `Off` as false"),
        ("a: TRUE\n", "x.yaml:1: YAML reads `TRUE` as true"),
        ("a: 010\n", "x.yaml:1: YAML reads `010` as 8"),
        ("a: 0x4f\n", "x.yaml:1: YAML reads `0x4f` as 79"),
        ("tick: 1:30\n", "x.yaml:1: YAML reads `1:30` as 90"),
        ("a: 1_000\n", "x.yaml:1: YAML reads `1_000` as 1000"),
        ("a: .inf\n", "x.yaml:1: YAML reads `.inf` as inf"),
        ("a: 1:30.5\n", "x.yaml:1: YAML reads `1:30.5` as 90.5"),
        ("0100: a\n", "x.yaml:1: YAML reads `0100` as 64"),
        ("until: 2026-12-01\n", "x.yaml:1: YAML reads `2026-12-01` as a date; quote it"),
        ("a: 2026-13-45\n", "x.yaml:1: YAML reads `2026-13-45` as a date; quote it"),
        ("{a: 1}: b\n", "is not a text"),
        ("object: {gpu}: down\n", "x.yaml:1: is not YAML"),
        ("a: 1\nb: c: d\n", 'x.yaml:2: is not YAML: quote a text that'),
        ("a: 1\nb: c: d\n", 'quote a text that holds ": "'),
        ("a:\n\tb: 1\n", "indent with spaces, not with a tab"),
        ("a: @b\n", "x.yaml:1: is not YAML: quote a text that begins with @, ` or % ("),
        ("a: 'b\n", "is not closed"),
        ("a: [1, 2\nb: 3\n", "x.yaml:2: is not YAML"),
        ("a: 1\n---\nb: 2\n", "one file holds one definition"),
        ("just words\n", "x.yaml:1: has to be a mapping"),
        ("- a\n", "x.yaml:1: has to be a mapping"),
        ("a: " + "9" * 5000, "holds a value that YAML cannot read"),
    ],
)  # fmt: skip
def test_what_surprises_is_refused_with_its_line_and_a_way_out(text: str, said: str) -> None:
    assert said in refusal(text)


@pytest.mark.parametrize(
    "value", ["true", "false", "1", "-5", "+5", "0", "1.5", ".5", "1.", "1.5e+3", "null", "~"]
)
def test_plain_numbers_and_words_are_what_they_look_like(value: str) -> None:
    found = parse_yaml(f"a: {value}\n".encode(), FILE)["a"]
    assert isinstance(found, (bool, int, float, type(None)))


def test_quoted_words_stay_texts() -> None:
    found = parse_yaml(b"a: 'no'\nb: \"010\"\nc: '2026-12-01'\nd: 1e3\n", FILE)
    assert plain(found) == {"a": "no", "b": "010", "c": "2026-12-01", "d": "1e3"}


@pytest.mark.parametrize(
    ("junk", "said"),
    [
        (b"a: 1\nb: \xff\n", "x.yaml:2: is not UTF-8 (byte 0xff)"),
        (b"a: 1\n\nb: x\x00y\n", "x.yaml:3: holds the control character '\\x00'"),
        (b"a: \x1b[2J\n", "x.yaml:1: holds the control character '\\x1b'"),
        (bytes(range(256)), "x.yaml:2: is not UTF-8"),
        ("a: 1\n".encode("utf-16"), "x.yaml:1: is not UTF-8"),
        (b"\x7fELF\x02\x01\x01", "x.yaml:1: holds the control character"),
    ],
)
def test_what_is_no_text_is_refused(junk: bytes, said: str) -> None:
    assert said in refusal(junk)


def test_the_mark_that_some_editors_begin_a_file_with_is_passed_over() -> None:
    assert plain(parse_yaml(b"\xef\xbb\xbfa: 1\n", FILE)) == {"a": 1}


def test_an_empty_file_is_an_empty_mapping() -> None:
    assert plain(parse_yaml(b"", FILE)) == {}
    assert plain(parse_yaml(b"# nothing\n", FILE)) == {}


@pytest.mark.parametrize(
    "bomb",
    [
        b"a: " + b"[" * 200_000,
        b"a: " + b"[" * 900 + b"]" * 900,
        b"a: " + b"{a: " * 50_000,
        b"- " * 100_000 + b"a",
        b"? " * 100_000 + b"a",
        b"- ? " * 50_000 + b"a",
        b"".join(b" " * depth + b"a:\n" for depth in range(1200)),
    ],
    ids=["open", "closed", "maps", "list", "keys", "both", "block"],
)
def test_a_bomb_of_nesting_neither_crashes_nor_is_called_a_bug(bomb: bytes) -> None:
    assert "is nested more than 50 deep" in refusal(bomb) or "is not YAML" in refusal(bomb)


def test_a_thousand_laughs_are_not_built() -> None:
    laughs = "a: &a [x]\n" + "".join(f"{n}: &{n} [*{p},*{p}]\n" for p, n in zip("abcd", "bcde"))  # noqa: B905
    assert "anchors and aliases" in refusal(laughs)


def test_a_huge_file_a_pipe_and_a_folder_are_refused_at_once(tmp_path: Path) -> None:
    huge, pipe, folder = tmp_path / "huge.yaml", tmp_path / "pipe.yaml", tmp_path / "d.yaml"
    with huge.open("wb") as file:
        file.truncate(LIMIT_BYTES * 1000)
    os.mkfifo(pipe)
    folder.mkdir()
    for path, said in (
        (huge, "is larger than 1 MiB"),
        (pipe, "is not a plain file"),
        (folder, "cannot be read: Is a directory"),
        (Path("/dev/zero"), "is not a plain file"),
        (tmp_path / "none.yaml", "cannot be read: No such file"),
    ):
        with pytest.raises(DefinitionError, match=said):
            load_yaml(path)


@given(st.one_of(st.binary(max_size=200), st.text("ab:-[]{}&*!#'\"|> \n\t?,", max_size=60)))
def test_whatever_the_bytes_are_they_are_a_mapping_or_refused(text: bytes | str) -> None:
    raw = text if isinstance(text, bytes) else text.encode()
    try:
        parse_yaml(raw, FILE)
    except DefinitionError as error:
        assert "\n" not in str(error)


def test_a_site_lays_single_keys_over_and_every_key_knows_its_file() -> None:
    shipped = parse_yaml(b"a: 1\nb: {c: 1, d: 1}\ne: [1]\n", Path("shipped.yaml"))
    site = parse_yaml(b"\nb:\n  d: 2\ne: [2]\n", Path("site.yaml"))
    merged = merge(shipped, site)
    assert plain(merged) == {"a": 1, "b": {"c": 1, "d": 2}, "e": [2]}
    places = {
        "a": merged.place("a"),
        "c": merged["b"].place("c"),
        "d": merged["b"].place("d"),
        "e": merged.place("e"),
    }
    assert {key: (place.file.name, place.line) for key, place in places.items()} == {
        "a": ("shipped.yaml", 1),
        "c": ("shipped.yaml", 2),
        "d": ("site.yaml", 3),
        "e": ("site.yaml", 4),
    }
    assert plain(shipped)["b"] == {"c": 1, "d": 1}
