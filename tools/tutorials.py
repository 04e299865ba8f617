"""Run the tutorials of docs/start: python tools/tutorials.py [PAGE.md ...] writes what their commands print.

A page runs in an empty folder, one block after the other: the lines of `console` blocks that begin with `$ ` in bash,
`python` blocks in Python. Where a command is followed by lines without `$ `, these are what it prints.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["PAGES", "Step", "run", "same_output", "steps"]

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs" / "start").glob("*.md"))
_BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(slots=True)
class Step:
    """A command of a page, or a Python example, with the lines that it prints according to the page."""

    language: str
    text: str
    shown: list[str] = field(default_factory=list)


def steps(page: str) -> list[Step]:
    """The steps of a page in order."""
    found: list[Step] = []
    for language, body in _BLOCK.findall(page):
        if language == "python":
            found.append(Step(language, body))
            continue
        for line in body.splitlines():
            if line.startswith("$ "):
                found.append(Step(language, line.removeprefix("$ ")))
            else:
                found[-1].shown.append(line)
    return found


def run(step: Step, folder: Path) -> tuple[int, list[str], str]:
    """Run a step in `folder`, which is the home folder too: the exit code, the lines that it prints, and its errors."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("SOUNDALIKE_", "XDG_", "COLUMNS"))
    }
    programs = folder / ".bin"
    programs.mkdir(exist_ok=True)
    for name, arguments in (("soundalike", "-m soundalike "), ("python", "")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments}"$@"\n')
        program.chmod(0o755)
    environment |= {
        "HOME": str(folder),
        "PATH": f"{programs}:{os.environ['PATH']}",
        "COLUMNS": "80",
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": str(ROOT / "src"),
        "XDG_DATA_HOME": str(folder / ".data"),
        "XDG_CACHE_HOME": str(folder / ".cache"),
        "XDG_CONFIG_HOME": str(folder / ".config"),
    }
    command = ["python", "-W", "error", "-c"] if step.language == "python" else ["bash", "-euo", "pipefail", "-c"]
    done = subprocess.run(
        [*command, step.text], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    printed = done.stdout.replace(str(folder), "~").rstrip("\n")
    return done.returncode, [line.rstrip() for line in printed.split("\n")] if printed else [], done.stderr


def same_output(shown: list[str], printed: list[str]) -> bool:
    """Whether a page shows what a command prints, apart from numbers, which may depend on the computer."""

    def masked(lines: list[str]) -> list[str]:
        return [re.sub(r"[\d.:,+\s-]+", " ", line) for line in lines]

    return masked(shown) == masked(printed)


def written(page: str, folder: Path) -> str:
    """The text of a page with what its commands print now."""
    printed = []
    for step in steps(page):
        code, lines, errors = run(step, folder)
        if code:
            raise SystemExit(f"{step.text}\nexit code {code}\n{errors}")
        printed.append(lines if step.shown else [])
    outputs = iter(printed)

    def renewed(block: re.Match[str]) -> str:
        if block[1] == "python":
            next(outputs)
            return block[0]
        lines = []
        for line in block[2].splitlines():
            if line.startswith("$ "):
                lines += [line, *next(outputs)]
        return "\n".join([f"```{block[1]}", *lines, "```"])

    return _BLOCK.sub(renewed, page)


def main(pages: list[str]) -> None:
    """Write the pages."""
    for page in map(Path, pages) if pages else PAGES:
        with tempfile.TemporaryDirectory(prefix="tutorial-") as folder:
            page.write_text(written(page.read_text(encoding="utf-8"), Path(folder).resolve()), encoding="utf-8")
            print(f"written: {page}")


if __name__ == "__main__":
    main(sys.argv[1:])
