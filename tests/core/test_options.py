"""Options with several values, arguments with help, and types from functions."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundalike.core.errors import UsageError
from soundalike.core.options import Argument, ManyOption, TextType, join_values

PARAMETERS = [
    Argument(["audio"], help="A recording."),
    ManyOption(["--like"], help="Recordings."),
    click.Option(["-k"], type=int, help="A number."),
]


def parse(*arguments: str) -> dict[str, object]:
    command = click.Command("test", params=PARAMETERS)
    context = command.make_context("test", join_values(PARAMETERS, arguments))
    return context.params


def test_one_or_more_values_up_to_the_next_option() -> None:
    found = parse("a.wav", "--like", "b.wav", "melody=2", "-k", "3", "--like", "c.wav")
    assert found == {"audio": "a.wav", "like": (("b.wav", "melody=2"), ("c.wav",)), "k": 3}
    assert parse("a.wav") == {"audio": "a.wav", "like": (), "k": None}
    assert parse("a.wav", "--like", "-", "x")["like"] == (("-", "x"),)
    assert parse("--like=b.wav", "a.wav") == {"audio": "a.wav", "like": (("b.wav",),), "k": None}
    assert parse("--like", "b.wav", "--", "a.wav") == {"audio": "a.wav", "like": (("b.wav",),), "k": None}
    assert parse("--", "--like") == {"audio": "--like", "like": (), "k": None}


value = st.text(st.characters(exclude_characters="\0"), min_size=1).filter(lambda text: not text.startswith("-"))


@given(st.lists(st.lists(value, min_size=1, max_size=4), max_size=4))
def test_every_value_arrives(uses: list[list[str]]) -> None:
    arguments = [argument for use in uses for argument in ("--like", *use)]
    assert parse("a.wav", *arguments)["like"] == tuple(map(tuple, uses))


@pytest.mark.parametrize("arguments", [("--like",), ("--like", "-k", "3"), ("a.wav", "--like", "--like", "b.wav")])
def test_a_value_is_required(arguments: tuple[str, ...]) -> None:
    with pytest.raises(click.BadOptionUsage, match="option --like requires a value"):
        join_values(PARAMETERS, arguments)


def test_types_from_functions() -> None:
    def read(text: str) -> Path:
        if text == "domain":
            raise UsageError("from our own code")
        if text == "value":
            raise ValueError("from a conversion")
        return Path(text)

    kind = TextType("FILE", read)
    assert kind.convert("a", None, None) == Path("a")
    assert kind.convert(3, None, None) == 3, "a default that is no text stays as it is"
    for text, message in (("domain", "from our own code"), ("value", "from a conversion")):
        with pytest.raises(click.BadParameter, match=message):
            kind.convert(text, None, None)


def test_arguments_have_help() -> None:
    assert PARAMETERS[0].help == "A recording."  # type: ignore[attr-defined]
