"""Records become plain values that JSON holds without loss, or an error."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundalike.core.serialise import to_plain
from soundalike.core.types import Span, Weights


@dataclass(frozen=True, slots=True)
class Inner:
    name: str
    value: float | None


@dataclass(frozen=True)
class Outer:
    second: tuple[Inner, ...] = ()
    first: dict[str, Inner] = field(default_factory=dict)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(plain)
def test_plain_values_come_back_equal(value: object) -> None:
    assert to_plain(value) == value
    assert json.loads(json.dumps(to_plain(value), allow_nan=False)) == value


@given(st.lists(st.builds(Inner, st.text(), st.none() | st.floats(allow_nan=False, allow_infinity=False)), max_size=5))
def test_records_become_dictionaries_in_the_order_of_their_fields(inners: list[Inner]) -> None:
    outer = Outer(tuple(inners), {one.name: one for one in inners})
    found = json.loads(json.dumps(to_plain(outer), allow_nan=False))
    assert list(found) == ["second", "first"]
    assert [Inner(**one) for one in found["second"]] == inners
    assert {name: Inner(**one) for name, one in found["first"].items()} == outer.first


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=6))
def test_arrays_and_their_scalars_become_numbers(values: list[float]) -> None:
    array = np.array(values, np.float32)
    assert to_plain(array) == [float(value) for value in array]
    assert to_plain(array.reshape(1, -1)) == [to_plain(array)]
    assert to_plain(array[0]) == float(array[0]) and type(to_plain(array[0])) is float
    assert type(to_plain(np.float64(values[0]))) is float
    assert to_plain(np.int64(3)) == 3 and type(to_plain(np.int64(3))) is int
    assert to_plain(np.bool_(True)) is True


def test_mappings_and_paths() -> None:
    assert to_plain(Weights({"melody": 2})) == {"melody": 2.0}
    assert to_plain(MappingProxyType({"a": (1, 2)})) == {"a": [1, 2]}
    assert to_plain(Span("a.wav", 0.0, 1.5)) == {"track": "a.wav", "start": 0.0, "end": 1.5}
    odd = Path("b\udcff.wav")
    assert to_plain({"path": odd}) == {"path": "b\udcff.wav"}
    assert json.loads(json.dumps(to_plain(odd))) == str(odd)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan"), np.array([1.0, np.inf])])
def test_numbers_that_json_cannot_express_are_errors(value: object) -> None:
    with pytest.raises(ValueError, match="has no form in JSON; expected a finite number or None"):
        to_plain({"deep": [Inner("a", value)]})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({1: "a"}, "the key 1 is of type int; expected text"),
        ({"a"}, "cannot serialise set; .*sort it"),
        (b"bytes", "cannot serialise bytes"),
        (Inner, "cannot serialise type"),
        (object(), "cannot serialise object"),
        (1j, "cannot serialise complex"),
    ],
)
def test_other_types_are_errors(value: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        to_plain([value])
