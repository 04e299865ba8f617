"""A separator as another distribution would bring it, and a model on its stems.

Its stems are what is below 400 Hz, called bass, and the rest, called vocals.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

CODE = """
import os
import numpy as np
from soundalike.audio import load
from soundalike.core.errors import AudioError

class Halves:
    name, stems, rate, licence, gate = "halves", ("bass", "vocals"), 22050, "MIT", -40.0

    @property
    def version(self):
        return int(os.environ.get("HALVES_VERSION", "1"))

    def files(self, path):
        return ()

    def separate(self, path, *, start=0.0, end=None):
        if "inseparable" in path.name:
            raise AudioError("cannot be separated; choose another")
        if "HALVES_LOG" in os.environ:
            with open(os.environ["HALVES_LOG"], "a") as log:
                print(path.name, file=log)
        samples = load(path, start=start, end=end).samples
        spectrum = np.fft.rfft(samples)
        spectrum[:, round(400 * samples.shape[1] / self.rate) :] = 0
        low = np.fft.irfft(spectrum, samples.shape[1]).astype(np.float32)
        for first in range(0, samples.shape[1], 50_000):
            part = slice(first, first + 50_000)
            both = {"bass": low[:, part], "vocals": (samples - low)[:, part]}
            yield {name: np.broadcast_to(one, (2, one.shape[1])) for name, one in both.items()}

create = Halves
"""


@pytest.fixture(scope="session")
def _distribution(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("halves")
    info = folder / "halves-1.0.dist-info"
    info.mkdir()
    (folder / "halves_separator.py").write_text(CODE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: halves\nVersion: 1.0\nLicense-Expression: MIT\n")
    (info / "entry_points.txt").write_text("[soundalike.separators]\nhalves = halves_separator:create\n")
    return folder


@pytest.fixture
def halves(_distribution: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the separator `halves`, with an empty cache and no installed models; returns the log of what it did."""
    from soundalike.models.stem_files import load_separator

    load_separator.cache_clear()
    monkeypatch.syspath_prepend(_distribution)
    monkeypatch.setattr("soundalike.audio.separators.cache.cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr("soundalike.library.stem_encodings.cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr("soundalike.models.installed.data_folder", lambda: tmp_path / "data")
    for name in ("cache", "data"):  # for processes that a test starts
        monkeypatch.setenv(f"XDG_{name.upper()}_HOME", str(tmp_path / "user" / name))
    log = tmp_path / "separated.txt"
    monkeypatch.setenv("HALVES_LOG", str(log))
    return log


@pytest.fixture(scope="session")
def _made(_distribution: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the model `dsp` on the stems of `halves`."""
    from soundalike.train.published import install_stems, plan_stems

    folder = tmp_path_factory.mktemp("stem model")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(_distribution)
        patch.setattr("soundalike.models.installed.data_folder", lambda: folder)
        install_stems(job := plan_stems("dsp", "halves"), [])
    return job.folder


@pytest.fixture
def dsp_halves(halves: Path, _made: Path, tmp_path: Path) -> str:
    """Install the model `dsp` on the stems of `halves`; returns its name."""
    shutil.copytree(_made, tmp_path / "data" / "models" / _made.name)
    return _made.name
