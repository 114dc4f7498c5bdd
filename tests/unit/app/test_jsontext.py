"""What is read as JSON means the same to every program, however its sender wrote it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import jsontext

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
WRITINGS = (
    {"separators": (",", ":"), "ensure_ascii": False},
    {"separators": (",", ":")},
    {"ensure_ascii": False},
    {"indent": 2},
)


@given(VALUES, st.sampled_from(WRITINGS))
def test_what_is_written_is_read(value: object, writing: dict[str, object]) -> None:
    found = jsontext.decoded(json.dumps(value, **writing).encode())  # type: ignore[arg-type]  # its many options
    assert repr(found) == repr(value)  # so that 1 is not 1.0, nor 0.0 the same as -0.0


@pytest.mark.parametrize("inside", ["{}", '{{"payload":{}}}', '{{"payload": [1, {}]}}'])
@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":1}',
        '{"a": 1, "a": 2}',
        '{"a":1,"\\u0061":1}',
        "NaN",
        "-Infinity",
        "1e400",
        "-1e400",
        "01",
        "1.",
        '"\\ud800"',
        '"\\uDFFFx"',
        '"\t"',
        "{'a':1}",
        "[1,]",
        "[1] 2",
        "",
    ],
)
def test_what_is_not_strictly_json_is_refused(text: str, inside: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        jsontext.decoded(inside.format(text).encode())


@pytest.mark.parametrize("body", [b'"\xff"', b'"\xed\xa0\x80"', b"\xef\xbb\xbf{}", '"ä"'.encode("utf-16")])
def test_what_is_not_utf_8_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        jsontext.decoded(body)


@pytest.mark.parametrize("text", ["123456789012345678901234567890", "-9223372036854775809", "18446744073709551616"])
def test_a_number_keeps_all_its_digits(text: str) -> None:
    assert jsontext.decoded(text.encode()) == int(text)


def test_what_is_nested_too_deeply_is_refused() -> None:
    deep = 100_000
    with pytest.raises(RecursionError):
        jsontext.decoded(b"[" * deep + b"]" * deep)
    assert jsontext.decoded(b"[" * 300 + b"]" * 300)  # more than orjson writes
