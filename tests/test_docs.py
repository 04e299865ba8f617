"""The documents run: commands parse, the example works, every plug-in and option is mentioned, links lead somewhere."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from soundalike.cli.parser import build_parser
from soundalike.core import plugins
from soundalike.models.recipes import installed_models, load_recipe

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])


def code_blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands() -> list[str]:
    lines = [
        line for page in PAGES for block in code_blocks("console", page.read_text()) for line in block.splitlines()
    ]
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ soundalike")]


def test_the_readme_starts_with_the_two_commands() -> None:
    lines = [line.strip() for line in README.splitlines() if line.strip()]
    assert lines[1].startswith("make demo")
    assert lines[2].startswith("make test")


@pytest.mark.parametrize("command", commands())
def test_commands_parse(command: str) -> None:
    args = build_parser().parse_args(shlex.split(command, comments=True)[1:])
    assert callable(args.run)


def test_there_are_commands_to_check() -> None:
    assert len(commands()) >= 8


def test_the_example_works(tmp_path: Path, stocked: Path, music: Path, monkeypatch, capsys) -> None:
    shutil.copytree(stocked, tmp_path / "library")
    shutil.copy(music / "up" / "0.wav", tmp_path / "song.wav")
    monkeypatch.chdir(tmp_path)
    (example,) = code_blocks("python")
    exec(compile(example, "README.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == 10


def test_every_command_is_in_the_readme() -> None:
    text = README + (ROOT / "CHANGELOG.md").read_text()
    choices = next(action.choices for action in build_parser()._actions if action.choices)
    assert not [name for name in choices if f"soundalike {name}" not in text and f"`{name}" not in text]


def test_every_member_and_model_is_documented() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    for folder in plugins.FOLDERS:
        for name in plugins.names(folder):
            assert f"`{name}`" in text, f"{folder}/{name} is nowhere in the documents"
    for name in installed_models():
        page = (ROOT / "docs" / "models" / f"{name}.md").read_text()
        for space in load_recipe(name).spaces:
            assert space.name in page
        assert "licence" in page.lower() and "seed" in page.lower()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_settings_are_documented() -> None:
    source = "\n".join(file.read_text() for file in (ROOT / "src").rglob("*.py"))
    for setting in set(re.findall(r"SOUNDALIKE_[A-Z]+", source)):
        assert setting in README, setting
