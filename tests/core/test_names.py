"""Names of models, spaces, backbones and features follow one rule, on every system."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundalike.core.names import check_name, check_unique

GOOD = ("dsp", "compact", "MERT-v1-330M", "drums.rhythm", "a_b", "7", "x" * 64, "console", "nul-1", "com10")
BAD = (
    "", "org/dsp", "a\\b", "../x", ".hidden", "-x", "_x", "a b", " a", "a\n", "a=1", "a,b", "a+b", "a@1", "é", "ａ",
    "a\0", "x" * 65, "ends.", "CON", "nul", "Aux.model", "com1", "LPT9.x", None, 3, b"dsp",
)  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_good_names_are_returned(name: str) -> None:
    assert check_name("model", name) == name


@pytest.mark.parametrize("name", BAD)
def test_other_names_are_refused_in_one_line(name: object) -> None:
    with pytest.raises(ValueError, match=r"cannot be the name of a model; expected 1 to 64") as caught:
        check_name("model", name)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=70))
def test_what_is_accepted_is_safe_in_file_names_and_weights(name: str) -> None:
    try:
        check_name("space", name)
    except ValueError:
        return
    assert name.isascii() and name.isprintable() and 1 <= len(name) <= 64
    assert not set(name) & set('/\\:*?"<>|=,+@ ') and name[0].isalnum() and name[-1] != "."


def test_names_must_differ_by_more_than_case() -> None:
    check_unique("model", ["dsp", "dsp2"])
    for pair in (["dsp", "dsp"], ["dsp", "DSP"]):
        with pytest.raises(ValueError, match=f"two models are called '{pair[0]}' and '{pair[1]}'"):
            check_unique("model", pair)
