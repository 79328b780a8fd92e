"""The YAML reader: what is read, what is refused, and that nothing else ever happens."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxes.composer import MAX_DEPTH
from sandboxes.document import MAX_BYTES, Document, parse_document, read_document
from sandboxes.node import Node
from sandboxes.problem import DocumentError, Mark, key_path, quote

SCALARS = [
    ("plain", "plain"),
    ("'5'", "5"),
    ("5", 5),
    ("-17", -17),
    ("007", 7),
    ("1.5", 1.5),
    ("1e3", 1000.0),
    ("1e999", "1e999"),
    ("true", True),
    ("FALSE", False),
    ("yes", "yes"),
    ("no", "no"),
    ("on", "on"),
    ("~", None),
    ("null", None),
    ("0x10", "0x10"),
    ("1:30", "1:30"),
    ("2026-01-01", "2026-01-01"),
    (".inf", ".inf"),
    ("1_000", "1_000"),
]


@pytest.mark.parametrize(("text", "value"), SCALARS, ids=[text for text, _ in SCALARS])
def test_a_scalar_has_the_value_of_the_core_schema(text: str, value: object) -> None:
    plain = parse_document(f"a: {text}\n".encode(), "x").root.plain()["a"]
    assert plain == value
    assert type(plain) is type(value)


def test_every_value_and_key_knows_its_place() -> None:
    document = parse_document(b"a:\n  - 1\n  - {b: x}\n", "x")
    root = document.root.value
    assert isinstance(root, dict)
    items = root["a"].value
    assert isinstance(items, list)
    inner = items[1]
    assert isinstance(inner.value, dict)
    assert items[0].mark == Mark(line=2, column=5)
    assert inner.keys["b"] == Mark(line=3, column=6)
    assert inner.value["b"].mark == Mark(line=3, column=9)
    assert document.mark("a") == Mark(line=2, column=3)
    assert document.mark("missing") == Mark()


def test_a_byte_order_mark_is_passed_over() -> None:
    assert parse_document(b"\xef\xbb\xbfa: 1\n", "x").root.plain() == {"a": 1}


def test_an_alias_stands_for_its_anchor() -> None:
    document = parse_document(b"a: &n [1, 2]\nb: *n\n", "x")
    assert document.root.plain() == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_nesting_is_bounded_before_it_is_built(opening: str) -> None:
    with pytest.raises(DocumentError):
        parse_document(opening.encode() * 40_000, "x")


def test_the_deepest_nesting_allowed_is_read() -> None:
    text = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert parse_document(text.encode(), "x").root.height == MAX_DEPTH
    with pytest.raises(DocumentError, match="nested deeper"):
        parse_document(f"[{text}]".encode(), "x")


def test_a_file_longer_than_the_bound_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "long.yaml"
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(DocumentError, match=f"more than {MAX_BYTES} bytes"):
        read_document(path)


def test_a_missing_file_is_a_problem_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"absent\.yaml: cannot be read: No such file"):
        read_document(tmp_path / "absent.yaml")


def test_a_problem_is_one_line_of_bounded_length() -> None:
    for text in ["a: *" + "b" * 5_000, "? " + "k" * 5_000 + "\n: [", "x" * 5_000 + ": 1\n" + "x" * 5_000 + ": 2\n"]:
        with pytest.raises(DocumentError) as caught:
            parse_document(text.encode(), "x")
        assert len(str(caught.value)) < 700


def test_many_problems_are_listed_up_to_a_bound() -> None:
    problem = Document(name="x", root=Node(value=None, mark=Mark())).problem("", Mark(), "bad")
    error = DocumentError((problem,) * 25)
    assert str(error).splitlines()[-1] == "... and 5 more"
    assert len(error.problems) == 25


@given(st.binary(max_size=400))
def test_any_bytes_give_a_document_or_a_document_error(data: bytes) -> None:
    try:
        document = parse_document(data, "x")
    except DocumentError as error:
        assert error.problems
        assert "\n" not in str(error.problems[0])
    else:
        json.dumps(document.root.plain(), allow_nan=False).encode()


YAML_PIECES = st.sampled_from(
    [
        *(
            "a",
            "b: ",
            "- ",
            "[",
            "]",
            "{",
            "}",
            ", ",
            "\n",
            "\n  ",
            "&x ",
            "*x",
            "!t ",
            '"',
            "'",
            "|\n",
            ">",
            "? ",
            "#",
        ),
        *("%Y", "---\n", "...\n", "\\U", "\\ud800", "\t", "~", "1", "<<: ", ": ", "\u2028", "\x00", "\ufeff", "@", "`"),
    ]
)


@given(st.lists(YAML_PIECES, max_size=40).map("".join))
def test_any_yaml_like_text_gives_a_document_or_a_document_error(text: str) -> None:
    try:
        document = parse_document(text.encode(), "x")
    except DocumentError as error:
        assert error.problems
    else:
        json.dumps(document.root.plain(), allow_nan=False).encode()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.text(st.characters(codec="ascii", categories=["L", "N", "P"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcxyz", min_size=1), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_json_reads_as_itself(value: object) -> None:
    assert parse_document(json.dumps(value).encode(), "x").root.plain() == value


def test_key_paths_read_like_code() -> None:
    assert key_path(key_path(key_path("", "egress"), "rules"), 0) == "egress.rules[0]"
    assert key_path("upstreams", "a b") == 'upstreams["a b"]'


def test_quoting_keeps_a_value_on_one_short_line() -> None:
    assert quote("a\nb\x1b") == '"a\\nb\\x1b"'
    assert len(quote("x" * 500)) == 62
    assert quote(3) == "3"
