"""`soundalike train instruments`: networks from songs with stems, run after run, and what goes wrong in one line."""

from __future__ import annotations

import csv
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_metric_material import PROGRAMS, write_track
from toy_songs import RANGES, TINY, toy_stems

from soundalike.audio.separators.unet import UnetSeparator
from soundalike.cli.main import main

pytest.importorskip("torch", reason="instruments are trained with torch")
from safetensors.torch import load_file

SETTINGS = replace(TINY, network=replace(TINY.network, channels=(3, 4)), paft_segment=0.4, paft_epochs=2)
MODULE = "soundalike.cli.train.instruments"


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve songs in the layout of Slakh2100, at 8 kHz."""
    folder = tmp_path_factory.mktemp("songs")
    random = np.random.default_rng(0)
    assert set(RANGES) <= set(PROGRAMS)
    for number, part in enumerate([*["train"] * 5, *["validation"] * 4, *["test"] * 3]):
        stems = list(zip(RANGES, np.repeat(toy_stems(random), 2, axis=1), strict=True))
        write_track(folder, part, f"Track{number:05d}", stems)
    return folder


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{MODULE}.SMALL", SETTINGS)


def train(songs: Path, work: Path, method: str, *options: str) -> int:
    return main(
        [
            "train",
            "instruments",
            "--songs",
            str(songs),
            "--work",
            str(work),
            "--method",
            method,
            "--jobs",
            "1",
            *options,
        ]
    )


def test_a_method_is_trained_with_all_that_it_needs_and_only_once(
    tmp_path: Path, songs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work, curves = tmp_path / "work", tmp_path / "curves.csv"
    assert train(songs, work, "cascade", "--curves", str(curves)) == 0
    out, err = capsys.readouterr()
    assert "cascade.bass" in out
    assert "cascade.other, epoch 2: loss" in err
    files = [f"{stage}.{name}.safetensors" for stage in ("cascade", "separators") for name in RANGES]
    assert {path.name for path in work.iterdir()} == {*files, "samples"}
    with curves.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["network"], row["epoch"]) for row in rows[:3]] == [
        ("separators.bass", "1"),
        ("separators.bass", "2"),
        ("separators.piano", "1"),
    ]
    assert len(rows) == 2 * 2 * len(RANGES)
    assert all(float(row["validation_loss"]) > 0 for row in rows)

    before = {path.name: path.stat().st_mtime_ns for path in work.glob("*.safetensors")}
    assert train(songs, work, "cascade", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["schema"] == "train-instruments/1"
    assert report["songs"] == {"train": 5, "validation": 4, "test": 3}
    assert [network["found"] for network in report["networks"]] == [True] * 6
    assert len(report["curves"]["cascade.piano"]) == 2
    assert {path.name: path.stat().st_mtime_ns for path in work.glob("*.safetensors")} == before


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory, songs: Path) -> Path:
    """A folder with the networks of Clean."""
    work = tmp_path_factory.mktemp("clean")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{MODULE}.SMALL", SETTINGS)
        assert train(songs, work, "clean") == 0
    return work


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--epochs", "1"], r"clean.bass.safetensors is of another run: its epochs is 2, expected 1; delete it"),
        (["--seed", "5"], "its seed is 0, expected 5"),
        (["--steps", "3"], "its steps_per_epoch is 2, expected 3"),
        (["--vary-levels", "6"], "its network.one_level is False, expected True"),
        (["--vary-levels", "-1"], "vary_levels is -1.0; expected 0 to 60 dB"),
        (["--recorded-songs", "a"], "--recorded-songs needs --recorded"),
        (["-o", "model"], "--out needs --licence"),
        (["-o", "model", "--licence", "CC0-1.0"], "give the separator that makes them with --separator"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    songs: Path, clean: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert train(songs, clean, "clean", *options) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_an_unknown_device_is_reported(tmp_path: Path, songs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(songs, tmp_path / "work", "clean", "--device", "quantum") == 2
    assert "no device 'quantum' here; give cpu" in capsys.readouterr().err.splitlines()[-1]


def test_unusable_songs_and_methods_are_reported(
    tmp_path: Path, songs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    lines = []
    for folder, method in ((empty, "clean"), (tmp_path / "none", "clean"), (songs, "wise")):
        assert train(folder, tmp_path / "work", method) == 2
        lines.append(capsys.readouterr().err.strip().splitlines()[-1])
    assert all(str(folder) in line for folder, line in zip([empty, tmp_path / "none"], lines, strict=False))
    assert "'wise' is not one of 'clean', 'cascade', 'cascade-ft'" in lines[2]


def test_a_missing_stem_is_named(tmp_path: Path, songs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "songs"
    for path in sorted(songs.rglob("*")):
        if path.is_file() and path.name != "S01.wav":
            (copy / path.relative_to(songs)).parent.mkdir(parents=True, exist_ok=True)
            os.link(path, copy / path.relative_to(songs))
    assert train(copy, tmp_path / "work", "clean") == 2
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "S01" in line)
    assert "missing" in line


def write_labels(folder: Path, instruments: tuple[str, ...], first: int = 9) -> Path:
    """Eight listeners, all but one of whom agree, on three tracks per instrument, in the layout of Inst-Sim-ABX."""
    lines = ["ex_name,subject_id,reference,sample_a,sample_b,answer_timbre,answer_rhythm,answer_melody,answer_total"]
    config: dict[str, object] = {}
    for number, (instrument, shift) in enumerate(itertools.product(instruments, range(3))):
        names = {role: f"{role}_{first + (at + shift) % 3}-{number}.wav" for at, role in enumerate("XAB")}
        paths = ",".join(f"set1/{number}/{instrument}/{name}" for name in names.values())
        lines += [f"ex,s{n},{paths},NA,NA,NA,{'A+' if n < 7 else 'B-'}" for n in range(8)]
        config[str(number)] = {"test2": {instrument: {
            role: {"ID": first + (at + shift) % 3, "filename": name, "sr": 100, "index_s": 20, "index_e": 60}
            for at, (role, name) in enumerate(names.items())}}}  # fmt: skip
    for path, text in {
        "csvs/inst_sim_abx_answers.csv": "\n".join(lines) + "\n",
        "sample_configs/dict_triplet_1.json": json.dumps({"1": config}),
    }.items():
        (folder / path).parent.mkdir(parents=True)
        (folder / path).write_text(text)
    return folder


def test_networks_are_tuned_on_judgements(
    tmp_path: Path, songs: Path, clean: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = str(write_labels(tmp_path / "labels", ("bass", "residuals")))
    assert train(songs, clean, "clean", "--paft", labels, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    tuned = ["paft.clean.bass", "paft.clean.other"]  # there are no judgements on the piano
    assert [network["name"] for network in report["networks"]] == [f"clean.{name}" for name in RANGES] + tuned
    assert [network["found"] for network in report["networks"]] == [True] * 3 + [False] * 2
    before, after = load_file(clean / "clean.bass.safetensors"), load_file(report["networks"][3]["file"])
    assert not before["project.weight"].equal(after["project.weight"])


def test_judgements_that_do_not_fit_are_refused(
    tmp_path: Path, songs: Path, clean: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = str(write_labels(tmp_path / "labels", ("bass",), first=90))
    for method, message in (
        ("clean", "none of 3 judgements with a majority is about segments of 3 songs"),
        ("direct", "direct does not learn from judgements; leave --paft out, or choose one of clean, cascade"),
    ):
        assert train(songs, clean, method, "--paft", labels) == 2
        assert re.search(message, capsys.readouterr().err.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["cascade", "direct-da"])
def test_a_model_is_written_that_search_can_use(
    tmp_path: Path, songs: Path, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    model = tmp_path / "band"
    assert train(songs, tmp_path / "work", method, "-o", str(model), "--licence", "CC0-1.0", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["out"] == str(model)
    assert report["separators"] == (str(tmp_path / "work" / "separators.onnx") if method == "cascade" else None)
    if method == "cascade":
        assert set(UnetSeparator(tmp_path / "work" / "separators.onnx").stems) == set(RANGES)
    assert set(report["uncalibrated"]) <= set(RANGES)
    recipe = json.loads((model / "recipe.json").read_text())
    assert [space["name"] for space in recipe["spaces"]] == list(RANGES)
    assert recipe["trained_on"] == [{"name": songs.name, "licence": "CC0-1.0", "n": 9}]
    clips = [str(path) for path in sorted(songs.glob("train/*/mix.wav"))[:2]]
    assert main(["compare", *clips, "--model", str(model), "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["weights"]) == set(RANGES)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["cascade-ft", "direct-reconst"])
def test_a_run_that_is_killed_again_and_again_gives_the_same_networks(tmp_path: Path, songs: Path, method: str) -> None:
    settings = "replace(toy_songs.TINY, epochs=4, steps_per_epoch=4)"
    script = (
        "import sys, toy_songs; from dataclasses import replace; import soundalike.cli.train.instruments as module;"
        "import soundalike.train.common.fit as fit; fit._SECONDS_BETWEEN_CHECKPOINTS = 0.0;"
        f"module.SMALL = {settings}; from soundalike.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )

    def start(work: Path) -> subprocess.Popen[bytes]:
        arguments = ["train", "instruments", "--songs", songs, "--work", work, "--method", method, "--jobs", "1"]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
        return subprocess.Popen(
            [sys.executable, "-c", script, *map(str, arguments)], env=environment, stderr=subprocess.DEVNULL
        )

    def kill(process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait()

    began = time.monotonic()
    assert start(tmp_path / "whole").wait() == 0
    whole = time.monotonic() - began
    process = start(tmp_path / "killed")
    while not list(tmp_path.glob("killed/*.unfinished")):
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.01)
    kill(process)
    random = np.random.default_rng(0)
    for _ in range(40):
        process = start(tmp_path / "killed")
        try:
            assert process.wait(float(random.uniform(0.6, 1.0)) * whole) == 0
            break
        except subprocess.TimeoutExpired:
            kill(process)
    else:
        pytest.fail("the run never ended")
    files = sorted((tmp_path / "whole").glob("*.safetensors"))
    assert files
    for path in files:
        one, other = load_file(path), load_file(tmp_path / "killed" / path.name)
        assert all(one[name].equal(other[name]) for name in one), path.name
    assert not list((tmp_path / "killed").glob("*.unfinished"))
