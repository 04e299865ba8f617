"""The example plug-in is installed as a distribution of its own, and used by the commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conftest import RATE, write
from soundalike.demo.clips import load_clips
from soundalike.models.recipes import load_recipe

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "soundalike-example"
MODEL = EXAMPLE / "src" / "soundalike_example" / "pulse_model"

Run = Callable[..., str]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Install the example in a folder, and run Python with arguments there: its output."""
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", target, EXAMPLE], check=True, capture_output=True, timeout=300)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(target)])}

    def python(*arguments: object) -> str:
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    return python


def clicks(path: Path, interval: float, seed: int) -> Path:
    """Write 8 s of noise bursts, one every `interval` seconds."""
    signal, random = np.zeros(8 * RATE), np.random.default_rng(seed)
    for start in np.arange(0.1, 7.9, interval):
        first = round(start * RATE)
        signal[first : first + 1500] += random.standard_normal(1500) * np.exp(-np.arange(1500) / 300)
    return write(path, (0.2 * signal).astype(np.float32))


@pytest.mark.slow
def test_the_commands_use_the_installed_plug_in(run: Run, tmp_path: Path) -> None:
    music = tmp_path / "music"
    for number, interval in enumerate((0.25, 0.37, 0.55, 0.8)):
        clicks(music / f"{number}.wav", interval, number)
    listed = json.loads(run("-m", "soundalike", "list", "backbones", "--json"))["backbones"]
    assert {"name": "pulse", "licence": "Apache-2.0", "installed": True} in listed

    model = run("-m", "soundalike_example")
    library = ("--library", tmp_path / "library")
    run("-m", "soundalike", "index", music, "--model", model, "--jobs", 1, *library)
    query = clicks(tmp_path / "query.wav", 0.55, 9)
    found = json.loads(run("-m", "soundalike", "search", query, "--json", *library))
    assert Path(found["matches"][0]["path"]).name == "2.wav", "the recording with the same pulse comes first"
    assert set(found["matches"][0]["spaces"]) == {"pulse"}

    evaluate = ("-m", "soundalike", "evaluate", "continuation", music, "--model", model, "--jobs", 1)
    (report,) = json.loads(run(*evaluate, "--seconds", 4, "--json"))["reports"]
    assert report["values"] == [[100.0]]
    assert report["chance"] == [25.0]


@pytest.mark.slow
def test_the_backbone_of_the_plug_in_keeps_the_contract(run: Run) -> None:
    contract = ROOT / "tests" / "core" / "test_plugins.py"
    printed = run("-m", "pytest", contract, "-k", "pulse and not licence", "-p", "no:cacheprovider")
    assert "passed" in printed
    assert "failed" not in printed


@pytest.mark.slow
def test_ties_share_the_first_place(run: Run) -> None:
    code = (
        "import numpy as np; from soundalike_example.protocol import own_comes_first as first; "
        "print(first(np.array([[3, 1, 2], [2, 2, 1], [5, 5, 4.0]])).tolist())"
    )
    assert run("-c", code) == "[1.0, 0.5, 0.0]"


@pytest.mark.slow
def test_the_model_is_what_its_script_makes(run: Run, tmp_path: Path) -> None:
    run("-m", "soundalike_example.fit", load_clips()[0].path.parent, tmp_path / "model")
    (kept,), (made,) = load_recipe(str(MODEL)).spaces, load_recipe(str(tmp_path / "model")).spaces
    for level, calibration in kept.calibration.items():  # decoders may differ by a rounding
        assert made.calibration[level].mu == pytest.approx(calibration.mu, abs=1e-3)
        assert made.calibration[level].sigma == pytest.approx(calibration.sigma, abs=1e-3)
