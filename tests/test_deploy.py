"""The image, the Compose file and the unit, as far as they can be checked without Docker."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from soundalike.cli.main import ROOT as COMMANDS

ROOT = Path(__file__).parents[1]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile with their arguments."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in text.splitlines() if line.strip()]


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_runs_as_no_root_and_checks_its_health() -> None:
    found = instructions()
    last = [name for name, _ in found].index("FROM", 1)
    names = dict(found[last:])
    assert names["USER"] == "10001"
    assert "/api/v1/health" in names["HEALTHCHECK"]
    assert "token" not in names["CMD"].lower()
    copied = [source for name, rest in found[:last] if name == "COPY" for source in rest.split()[:-1]]
    assert copied
    for source in copied:
        assert (ROOT / source).exists(), source


def test_everything_that_the_image_copies_is_in_its_context() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source
        for name, rest in instructions()
        if name == "COPY" and "--from" not in rest
        for source in rest.split()[:-1]
    }
    assert copied == allowed


def test_commands_of_image_and_unit_exist() -> None:
    arguments = json.loads(dict(instructions())["CMD"])
    unit = (ROOT / "deploy" / "soundalike.service").read_text()
    started = shlex.split(re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)[1])[1:]
    for command in (arguments, started):
        assert command[0] == "serve"
        serve = COMMANDS.get_command(None, "serve")
        assert set(command[1::2]) <= {option for parameter in serve.params for option in parameter.opts}


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    unit = (
        (ROOT / "deploy" / "soundalike.service").read_text().replace("/opt/soundalike/bin/soundalike", sys.executable)
    )
    (tmp_path / "soundalike.service").write_text(unit)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / "soundalike.service"], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert "soundalike.service" not in done.stderr, done.stderr
