"""The documents run: every command and example works, and every plug-in and option is mentioned."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from conftest import RATE, TUNES, tune, write
from soundalike.cli.main import main
from soundalike.core import plugins
from soundalike.models.installed import installed_models
from soundalike.models.recipes import load_recipe

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
TOUR = (ROOT / "docs" / "tour.md").read_text()
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
PAGES = [page for page in PAGES if "_build" not in page.parts]

# Commands that run smaller than the tour has them: what stands there, and what runs in its place.
SMALLER = {
    # 200 folders of four factors take an hour. Here are two of one factor, all in the part that `evaluate triplets`
    # reads, and shorter; from tunes and sounds that the test makes, so that no packages of sounds are needed.
    "render --folders 200 ": "render --folders 2 --part test --factors timbre --seconds 4 --rate 22050 ",
}
NAMED_FILES = re.compile(r"(?<![\w./*~-])[\w-]+\.(?:mp3|wav|flac|ogg)\b")


def code_blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands(block: str) -> list[str]:
    """What follows `$ soundalike` on the lines of a console block."""
    lines = [line.removeprefix("$ ") for line in block.splitlines()]
    return [line.removeprefix("soundalike ") for line in lines if line.startswith("soundalike ")]


CONSOLE = [block for text in (README, TOUR) for block in code_blocks("console", text) if commands(block)]
EXAMPLES = [block for text in (README, TOUR) for block in code_blocks("python", text)]
ELSEWHERE = [
    command
    for page in PAGES
    if page.name not in ("README.md", "tour.md")
    for block in code_blocks("console", page.read_text())
    for command in commands(block)
]


def test_the_readme_starts_with_the_two_commands() -> None:
    lines = [line.strip() for line in README.splitlines() if line.strip()]
    assert lines[1].startswith("make demo")
    assert lines[2].startswith("make test")


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) < 120


def test_there_is_something_to_run() -> None:
    assert len(CONSOLE) >= 3
    assert sum(len(commands(block)) for block in CONSOLE) >= 20
    assert EXAMPLES and ELSEWHERE
    for text in SMALLER:
        assert f"$ soundalike {text}" in TOUR, f"no longer in the tour: {text}"


# Files that these pages name ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`Music`, and every audio file that the README and the tour name.

    `Music` has 200 different recordings, the fewest with families in `versions`, and one of them twice. Some have
    tags, and some last six seconds, so that a tempo is found. `Less music` has those and the one that is there twice.
    """
    folder = tmp_path_factory.mktemp("recordings")
    (folder / "Music").mkdir()
    rng = np.random.default_rng(0)
    for number in range(200):
        notes = rng.integers(50, 80, 8).tolist()
        if number % 10:
            write(folder / "Music" / f"{number:03}.wav", tune(notes, seconds=1.2, beat=0.3, seed=number))
            continue
        beat = 0.6 if number % 20 else 60 / 122
        with sf.SoundFile(folder / "Music" / f"{number:03}.flac", "w", RATE, 1) as file:
            file.artist, file.genre = f"Artist {number}", "Jazz"
            file.write(tune(notes, seconds=6, beat=beat, seed=number))
    shutil.copy(folder / "Music" / "001.wav", folder / "Music" / "copy.wav")
    (folder / "Less music").mkdir()
    for file in (*(folder / "Music").glob("*.flac"), folder / "Music" / "001.wav", folder / "Music" / "copy.wav"):
        shutil.copy(file, folder / "Less music")
    for number, name in enumerate(sorted(set(NAMED_FILES.findall("\n".join([*CONSOLE, *EXAMPLES]))))):
        notes = [note + number for note in list(TUNES.values())[number % len(TUNES)]]
        # A region that the tour asks for is in the first minute of `song`.
        write(folder / name, tune(notes, seconds=45 if name.startswith("song.") else 5, seed=number))
    return folder


@pytest.fixture
def home(recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A working directory with these files that is the user's home too, and nothing of the real one in the environment.

    `Music` has all 200 where `versions` asks for them. The folder `music` of the Python example has a few of the files.
    """
    for name in [name for name in os.environ if name.startswith(("SOUNDALIKE_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / ".data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    monkeypatch.chdir(tmp_path)
    is_for_versions = "$ soundalike versions" in request.node.callspec.params.get("block", "")
    (tmp_path / "Music").symlink_to(recordings / ("Music" if is_for_versions else "Less music"))
    for file in recordings.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path)
    (tmp_path / "music").mkdir()
    for file in sorted((recordings / "Music").glob("*0.flac"))[:6]:
        shutil.copy(file, tmp_path / "music")
    return tmp_path


@pytest.fixture
def sounds(tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """Options of `render` for tunes, grooves and sounds that are made here; skips without FluidSynth."""
    from test_factory import own_place

    with own_place(tmp_path / "place") as place:
        yield place.options


def as_the_shell_would(command: str) -> list[str]:
    """Split a command, and put file names in the place of `~` and of patterns."""
    words = [re.sub(r"^~", str(Path.home()), word) for word in shlex.split(command, comments=True)]
    return [name for word in words for name in sorted(map(str, Path().glob(word)) if "*" in word else [word]) or [word]]


def written_by(command: str) -> list[str]:
    """The files and folders that a command is told to write."""
    words = shlex.split(command, comments=True)
    found = [after for word, after in pairwise(words) if word in ("-o", "--out", "--m3u", "--page")]
    return found + (words[2:3] if words[:2] == ["library", "export"] else [])


@pytest.mark.parametrize("block", CONSOLE, ids=[commands(block)[0].split()[0] for block in CONSOLE])
def test_the_commands_of_the_readme_and_the_tour_run(
    block: str, home: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    """One after the other, as a reader would type them: later ones use what earlier ones have made."""
    failed = []
    for command in commands(block):
        line = command
        if command.split()[0] == "serve":
            continue  # it never ends: tests/serve/test_serve_command.py
        for text, smaller in SMALLER.items():
            if command.startswith(text):
                line = smaller + shlex.join(request.getfixturevalue("sounds")) + " " + command.removeprefix(text)
        code = main(as_the_shell_would(line))
        printed = capsys.readouterr()
        missing = [name for name in written_by(line) if not (home / name).exists()]
        if code != 0 or missing or not printed.out + printed.err:
            failed.append(f"soundalike {command}\n  exit code {code}, not written: {missing}\n  {printed.err.strip()}")
    assert not failed, "\n".join(failed)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(1, len(EXAMPLES) + 1))
def test_the_python_examples_run_without_warnings(example: str, home: Path) -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", example], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


@pytest.mark.parametrize("command", ELSEWHERE)
def test_commands_of_other_pages_have_no_unknown_options(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*shlex.split(command, comments=True), "--help"]) == 0, capsys.readouterr().err


def test_an_unknown_option_would_be_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "song.mp3", "--no-such-option", "--help"]) == 2
    assert "--no-such-option" in capsys.readouterr().err


# What has to be in the documents ------------------------------------------------------------------------------------


def test_every_command_is_on_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    _, _, listed = capsys.readouterr().out.partition("\nCommands:\n")
    names = re.findall(r"^  (\w[\w-]*)  ", listed.partition("\n\n")[0], flags=re.MULTILINE)
    assert len(names) >= 8 and {"index", "search", "evaluate"} <= set(names)
    text = README + TOUR + (ROOT / "CHANGELOG.md").read_text()
    assert not [name for name in names if f"soundalike {name}" not in text and f"`{name}" not in text]


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


def test_settings_are_documented() -> None:
    source = "\n".join(file.read_text() for file in (ROOT / "src").rglob("*.py"))
    for setting in set(re.findall(r"SOUNDALIKE_[A-Z]+", source)):
        assert setting in TOUR, setting
