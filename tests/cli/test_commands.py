"""All commands at once: help that loads nothing, wrong usage in one line, and records with documented keys."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from soundalike.cli.commands import CommandGroup
from soundalike.cli.main import ROOT, main


def walk(group: click.Group, name: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with what is typed for it, groups included."""
    yield name, group
    ctx = click.Context(group)
    for child in group.list_commands(ctx):
        found = group.get_command(ctx, child)
        assert found is not None
        if isinstance(found, click.Group):
            yield from walk(found, (*name, child))
        else:
            yield (*name, child), found


COMMANDS = dict(walk(ROOT))
# A `CommandGroup` is a command that has commands of its own.
GROUPS = [name for name, one in COMMANDS.items() if isinstance(one, click.Group) and not isinstance(one, CommandGroup)]
LEAVES = [name for name in COMMANDS if name not in GROUPS]
HEAVY = ("numpy", "scipy", "rich", "soundfile", "av", "onnxruntime", "sqlite3", "torch", "soundalike.library",
         "soundalike.search", "soundalike.models", "soundalike.evaluate", "soundalike.train")  # fmt: skip


def test_all_commands_are_there() -> None:
    assert {" ".join(name) for name in LEAVES} >= {
        "index", "search", "compare", "path", "playlist", "duplicates", "versions", "embed", "list", "demo", "render",
        "library info", "library ls", "library show", "library remove", "library check", "library vacuum",
        "library export", "library import", "train dsp", "train heads", "train embed", "train merge",
        "train attribution", "train compact", "evaluate summary", "evaluate probes", "evaluate abx",
    }  # fmt: skip


# Help ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
def test_help(name: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*name, "--help"]) == 0
    page, err = capsys.readouterr()
    assert err == ""
    assert page.startswith(f"Usage: {' '.join(('soundalike', *name))} ")
    assert main([*name, "-h"]) == 0
    assert capsys.readouterr().out == page
    # Pages of protocols are their module's docstring, as wrapped there.
    assert all(len(line) <= (122 if name[:1] == ("evaluate",) else 100) for line in page.splitlines())
    for parameter in COMMANDS[name].params:
        for option in parameter.opts if isinstance(parameter, click.Option) else ():
            assert option in page


def test_every_parameter_is_explained() -> None:
    for name, command in COMMANDS.items():
        assert command.help, name
        for parameter in command.params:
            help = getattr(parameter, "help", None)
            assert help and help[0] == help[0].upper() and help.endswith("."), f"{name}: {parameter.name}: {help}"


@pytest.mark.parametrize("name", GROUPS, ids=lambda name: " ".join(name) or "soundalike")
def test_groups_list_their_commands_with_summaries(name: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    main([*name, "--help"])
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    summaries = {line[0]: line[1] for line in lines if len(line) == 2}
    for child in (leaf[-1] for leaf in COMMANDS if leaf[:-1] == name and leaf):
        assert len(summaries[child]) > 8, child


def loaded(*arguments: str) -> tuple[list[str], float]:
    """The heavy modules that a command loads in a new process, and the CPU seconds that it takes."""
    code = (
        "import json, sys, time\nfrom soundalike.cli.main import main\nmain(sys.argv[1:])\n"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "print(json.dumps([heavy, time.process_time()]), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    names, seconds = json.loads(done.stderr.splitlines()[-1])
    return names, seconds


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"], ["--version"], ["index", "--help"], ["search", "--help"], ["compare", "--help"], ["list", "--help"],
        ["library", "--help"], ["library", "export", "--help"], ["train", "--help"], ["demo", "--help"],
        ["render", "--help"], ["search"], ["frobnicate"], ["search", "--json"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_help_and_wrong_usage_load_nothing_heavy(arguments: list[str]) -> None:
    assert loaded(*arguments)[0] == []


def test_help_is_quick() -> None:
    assert min(loaded("--help")[1] for _ in range(3)) < 0.25


def test_json_loads_no_rich() -> None:
    heavy, _ = loaded("list", "models", "--json")
    assert "numpy" in heavy and "rich" not in heavy


# Wrong usage --------------------------------------------------------------------------------------------------------


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of a usage error."""
    assert main(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("soundalike: ") and err.count("\n") == 1 and "Usage" not in err
    return err.removeprefix("soundalike: ").rstrip("\n")


@pytest.mark.parametrize("name", COMMANDS, ids=lambda name: " ".join(name) or "soundalike")
def test_an_unknown_option_is_one_line(name: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    expected = f"unknown option --qqqqq; see: {' '.join(('soundalike', *name))} --help"
    assert refusal(capsys, *name, "--qqqqq") == expected
    assert main([*name, "--qqqqq", "--json"]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out) == {"schema": "error/1", "error": expected}
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", COMMANDS, ids=lambda name: " ".join(name) or "soundalike")
def test_what_is_missing_is_one_line(name: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    command = COMMANDS[name]
    page = " ".join(("soundalike", *name))
    if name in GROUPS:
        assert main(list(name)) == 0, "a group alone shows its help page"
        assert capsys.readouterr().out.startswith(f"Usage: {page} ")
        assert refusal(capsys, *name, "frobnicate").endswith(f"; see: {page} --help")
    elif name == ("render",) or any(parameter.required for parameter in command.params):
        found = refusal(capsys, *name)
        assert found.startswith(("missing argument ", "missing option -")) and found.endswith(f"; see: {page} --help")
        assert "None" not in found


@pytest.mark.parametrize("name", LEAVES, ids=" ".join)
def test_an_option_without_its_value_is_one_line(name: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    for parameter in COMMANDS[name].params:
        if isinstance(parameter, click.Option) and not parameter.is_flag:
            found = refusal(capsys, *name, parameter.opts[-1])
            assert parameter.opts[-1] in found and "requires a" in found


@pytest.mark.parametrize(
    "name", [name for name in LEAVES if name not in (("help",), ("completion",), ("serve",))], ids=" ".join
)
def test_options_cannot_be_abbreviated(name: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    found = refusal(capsys, *name, "--jso")
    assert found.startswith("unknown option --jso; did you mean ") and "--json" in found


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["list", "moods"], "WHAT: 'moods' is not one of 'models', "),
        (["list", "models", "spaces"], "got unexpected extra argument (spaces)"),
        (["search", "a", "--by", "song"], "--by: 'song' is not one of 'track', 'passage'"),
        (["search", "a", "--regoin", "1-2"], "unknown option --regoin; did you mean --region?"),
        (["search", "a", "--json=yes"], "option '--json' does not take a value"),
        (["search", "a", "--model"], "option '--model' requires an argument"),
        (["index", ""], "DIR: an empty path; give a file or folder"),
        (["embed", "a", "-o", ""], "--output: an empty path"),
        (["playlist", "a", "--spread", "nan"], "--spread: expected a number, found 'nan'"),
        (["playlist", "a", "--tempo", "9"], "--tempo: cannot read the range '9'; expected LOW..HIGH"),
        (["search", "a", "-w", "melody=x"], "--weights: cannot read the weight 'melody=x'"),
        (["search", "a", "--where", "mood = sad"],
         "--where: in the condition 'mood = sad' at character 1: unknown field 'mood'"),
        (["render", "-o", "x", "--folders", "1", "--seconds", "99"], "--seconds: expected 4 to 60 seconds, found '99'"),
        (["train", "heads", "--triplets", "x", "--out", "y", "--joint", "--linear"], "--joint and --linear exclude"),
        (["train", "embed", "--triplets", "x", "--cache", "y", "--shard", "3/2"], "--shard: expected I/N with I from "),
        (["evaluate", "abx", "--labels", "x", "--audio", "y", "--majority", "0.2"], "--majority: expected a number"),
        (["evaluate", "moods"], "unknown protocol 'moods'; known: abx, ballroom, concepts, covers80"),
        (["library", "moods"], "unknown action 'moods'; known: info, ls, show"),
    ],
)  # fmt: skip
def test_messages(arguments: list[str], found: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert refusal(capsys, *arguments).startswith(found)


def test_control_characters_of_arguments_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    assert r"unknown command 'a\x1b[31m\nb\udcff'" in refusal(capsys, "a\x1b[31m\nb\udcff").replace("\\\\", "\\")


def test_json_before_an_action_holds_for_it(stocked, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["library", "--json", "info", "--library", str(stocked)]) == 0
    assert json.loads(capsys.readouterr().out)["tracks"] == 12


def test_short_options_take_an_equals_sign(capsys: pytest.CaptureFixture[str]) -> None:
    assert refusal(capsys, "search", "a", "-k=x").startswith("-k: expected a whole number from 1, found 'x'")
    assert refusal(capsys, "search", "a", "-kx").startswith("-k: expected a whole number from 1, found 'x'")
    assert refusal(capsys, "search", "a", "-w=melody=x").startswith("--weights: cannot read the weight 'melody=x'")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "a.wav", "-k"], r"'-k' requires an argument; see: soundalike search --help"),
        (["library", "ls", "--library"], r"requires an argument; see: soundalike library ls --help"),
        (["serach", "a.wav"], r"unknown command 'serach'; did you mean search\?; see: soundalike --help"),
        (["library", "vacum"], r"unknown action 'vacum'; did you mean vacuum\?; see: soundalike library --help"),
        (["evaluate", "triplet"], r"unknown protocol 'triplet'; did you mean triplets\?"),
        (["nothing-like-it"], r"unknown command 'nothing-like-it'; known: index, search, "),
        (["embed", "a.wav"], r"missing option -o/--output; see: soundalike embed --help"),
    ],
)
def test_a_mistyped_command_line_names_what_helps(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert re.search(message, err), err
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["search", "path", "playlist"])
def test_the_number_of_tracks_is_k_or_n_everywhere(name: str) -> None:
    options = [one.opts for one in COMMANDS[(name,)].params if isinstance(one, click.Option)]
    assert any({"-k", "-n"} <= set(opts) for opts in options)


# Habits -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS, ids=lambda name: " ".join(name) or "soundalike")
def test_help_shows_the_page_of_every_command(name: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*name, "--help"]) == 0
    page = capsys.readouterr().out
    assert main(["help", *name]) == 0
    assert capsys.readouterr().out == page


def test_help_for_what_is_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert refusal(capsys, "help", "serach").startswith("unknown command 'serach'; did you mean search?")
    assert refusal(capsys, "help", "list", "x").startswith("soundalike list has no commands, found 'x'")


def test_options_may_stand_before_the_command(stocked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    after = ["library", "info", "--library", str(stocked), "--json"]
    assert main(after) == 0
    expected = capsys.readouterr().out
    for before in (
        ["--library", str(stocked), "--json", "library", "info"],
        ["--json", "library", "--library", str(stocked), "info"],
    ):
        assert main(before) == 0
        assert capsys.readouterr().out == expected
    assert main(["--library", "/nowhere", *after]) == 0, "the option nearest to the command counts"
