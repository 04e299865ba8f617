"""`soundalike train descriptors`: rendering, resuming, and fitting to the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from test_draw import write_tunes
from test_factory import cache_no_chorales
from test_sources import groove_folder

from soundalike.backbones.analysis import TempoEstimator
from soundalike.cli.main import main
from soundalike.core.errors import UsageError
from soundalike.render.sound.soundfonts import check_fluidsynth
from soundalike.train.jobs import descriptors

pytest.importorskip("torch", reason="the tempo network is fitted with torch")
pytest.importorskip("mido", reason="MIDI files are read with mido: pip install 'soundalike[render]'")


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the command on four kinds fewer, because scenes take a second each."""
    try:
        check_fluidsynth()
    except UsageError as error:
        pytest.skip(str(error))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cache_no_chorales()
    monkeypatch.setattr(descriptors, "KINDS", ("metronome", "noise"))
    tunes, grooves = write_tunes(tmp_path / "tunes"), groove_folder(tmp_path / "grooves")

    def run(out: str, **options: object) -> int:
        given = {"grooves": grooves, "tunes": tunes, "work": tmp_path / "work", "pieces": 24, "jobs": 1} | options
        named = [str(part) for name, value in given.items() for part in (f"--{name}", value)]
        return main(["train", "descriptors", "--out", str(tmp_path / out), *named])

    return run


def test_a_run_renders_fits_and_continues(
    train: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("first") == 0
    printed = capsys.readouterr()
    assert "reading tunes, grooves and chorales" in printed.err and "rendering 8 of 8 pieces" in printed.err
    assert printed.out.startswith("6 training and 2 validation pieces")
    weights = tmp_path / "first" / "tempo.safetensors"
    TempoEstimator.load(weights)
    (tmp_path / "work" / "train-noise-1-0.npz").unlink()
    assert train("second") == 0
    assert "rendering 1 of 8 pieces, 7 are there" in capsys.readouterr().err
    assert train("third") == 0
    assert "reading tunes" not in capsys.readouterr().err
    for name in ("second", "third"):
        assert (tmp_path / name / weights.name).read_bytes() == weights.read_bytes()
    assert train("other", seed=1) == 0
    assert (tmp_path / "other" / weights.name).read_bytes() != weights.read_bytes()


def test_grooves_that_are_not_the_dataset_are_refused_before_any_work(
    train: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "grooves" / "info.csv").unlink()
    assert train("out") == 2
    assert "has no info.csv; give --grooves the folder of the Groove MIDI Dataset" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
