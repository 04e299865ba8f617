"""JSON Schemas: they are those of the code, and what the commands print is valid."""

from __future__ import annotations

import json
from pathlib import Path

import click
import jsonschema
import pytest

from conftest import TUNES, tune, write
from json_schemas import RECORDS, schema_of
from soundalike.cli.commands import CommandGroup
from soundalike.cli.main import ROOT, main

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
REPORTS = ("evaluate", "train-attribution")
"""What these print are reports, whose keys depend on the protocol."""


def test_the_schemas_in_the_documentation_are_current() -> None:
    written = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in SCHEMAS.glob("*.json")}
    assert written == {name: schema_of(name) for name in RECORDS}, "run: python tools/json_schemas.py"


def commands_with_json(group: click.Group, *above: str) -> list[str]:
    """The names of the schemas of all commands that have --json."""
    found = []
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            found += commands_with_json(command, *above, name)
        own = command and (isinstance(command, CommandGroup) or not isinstance(command, click.Group))
        if command and own and any("--json" in parameter.opts for parameter in command.params):
            found.append("-".join([*above, name]))
    return found


def test_every_command_with_json_has_a_schema() -> None:
    named = {name for name in commands_with_json(ROOT) if not name.startswith(REPORTS)}
    assert named | {"error"} == set(RECORDS)


@pytest.mark.parametrize("name", RECORDS)
def test_schemas_are_valid(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema_of(name))


def test_what_commands_print_is_valid(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, stocked: Path, music: Path, tmp_path: Path
) -> None:
    monkeypatch.setenv("SOUNDALIKE_LIBRARY", str(stocked))
    a, b, new = music / "up" / "0.wav", music / "down" / "1.wav", tmp_path / "new"
    write(tmp_path / "in" / "c.wav", tune(TUNES["up"], seconds=3))
    (tmp_path / "in" / "bad.wav").write_bytes(b"RIFF")
    own = ["--library", new]
    for arguments in (
        ["search", a, "--like", b, "-k", "2"],
        ["search", a, "-k", "1", "--collapse"],
        ["compare", a, b, "--align"],
        ["path", a, b, "-n", "1"],
        ["playlist", a, "-n", "2"],
        ["duplicates"],
        ["embed", a, "-o", tmp_path / "v.npz"],
        ["presets"],
        ["list", "models"],
        ["list", "spaces"],
        ["list", "stores"],
        ["library", "info"],
        ["library", "ls"],
        ["library", "show", a],
        ["library", "check"],
        ["library", "export", tmp_path / "all.npz"],
        ["search", "nowhere.wav"],
        ["index", tmp_path / "in", *own],
        ["library", "failures", *own],
        ["library", "move", tmp_path / "in", tmp_path / "gone", *own],
        ["library", "remove", tmp_path / "in" / "c.wav", *own],
        ["library", "vacuum", *own],
        ["versions", *own],
    ):
        main([*map(str, arguments), "--json"])
        printed = json.loads(capsys.readouterr().out)
        name = printed["schema"].partition("/")[0]
        jsonschema.validate(printed, schema_of(name), jsonschema.Draft202012Validator)
        expected = "error" if "error" in printed else "-".join(map(str, arguments[: 1 + (arguments[0] == "library")]))
        assert name == expected
