"""The first minutes of somebody who has just installed soundalike, in a terminal of 80 columns."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from soundalike.cli.table import cell_width
from soundalike.demo import load_clips

pty = pytest.importorskip("pty")
termios = pytest.importorskip("termios")

_STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_LIMIT = 90.0
"""Seconds from an installed package to the first useful answer."""


def on_terminal(*arguments: str, environment: dict[str, str]) -> list[str]:
    """The lines that a command leaves on a terminal of 80 columns and 24 lines."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [sys.executable, "-m", "soundalike", *arguments]
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=subprocess.DEVNULL, env=environment)
    os.close(slave)
    seen = b""
    while True:
        try:
            piece = os.read(master, 1 << 16)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        seen += piece
    os.close(master)
    assert process.wait() == 0, seen.decode()
    return _STYLE.sub("", seen.decode()).replace("\r\n", "\n").splitlines()


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder with a short path, so that lines which name it fit in 80 columns."""
    with tempfile.TemporaryDirectory(prefix="alike-") as name:
        yield Path(name)


@pytest.mark.slow
def test_a_stranger_gets_an_answer_in_time_and_can_read_it(tmp_path: Path, short_folder: Path) -> None:
    clips = [clip.path for clip in load_clips()]
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "SOUNDALIKE_LIBRARY": str(short_folder / "library"),
        "TERM": "xterm",
    }
    environment.pop("COLUMNS", None)
    start = time.monotonic()
    screens = {
        "help": on_terminal(environment=environment),
        "demo": on_terminal("demo", "--no-serve", "--page", str(tmp_path / "demo.html"), environment=environment),
        "index": on_terminal("index", str(clips[0].parent), environment=environment),
        "search": on_terminal("search", str(clips[0]), environment=environment),
        "a query by name": on_terminal("search", "drunken sailor rock flute", environment=environment),
        "compare": on_terminal("compare", str(clips[0]), str(clips[1]), "--align", environment=environment),
    }
    assert time.monotonic() - start < _LIMIT
    for name, lines in screens.items():
        assert lines, name
        wide = [line for line in lines if cell_width(line) > 80 and "://" not in line]
        assert wide == [], f"{name} prints lines that are wider than 80 columns"
    table = [line for line in screens["search"] if re.match(r" *\d+ ", line)]
    assert len(table) == 10, "ten matches, one line each"
    assert all("█" in line or "░" in line for line in table)
    assert len({line[4:30] for line in table}) == 10, "names tell the matches apart"
