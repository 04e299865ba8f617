"""`soundalike train weights`: from labels and clips to a preset that a search uses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from conftest import TUNES, tune, write
from soundalike.cli.main import main
from soundalike.core.presets import read_presets
from soundalike.models import load_recipe


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six clips: three tunes, each as it is and transposed; listeners find the same tune alike."""
    root = tmp_path_factory.mktemp("clips")
    names = list(TUNES)[:3]
    for name in names:
        for octave in (0, 5):
            write(root / f"{name}{octave}.wav", tune([n + octave for n in TUNES[name]], seconds=3))
    lines = ["x,a,b,answer,votes,question"]
    for n, name in enumerate(names):
        for x, same in ((0, 5), (5, 0)):
            for other in (names[(n + 1) % 3], names[(n + 2) % 3]):
                pair = (f"{name}{same}.wav", f"{other}{x}.wav")
                lines.append(f"{name}{x}.wav,{','.join(pair[:: 1 if x else -1])},{'A' if x else 'B'},5,total")
    (root / "labels.csv").write_text("\n".join([*lines, "up0.wav,leaps0.wav,leaps5.wav,A,1,timbre", ""]))
    return root


def test_a_preset_is_learned_and_used(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.toml"
    monkeypatch.setenv("SOUNDALIKE_CONFIG", str(config))
    given = ["train", "weights", "ours", "--labels", str(clips / "labels.csv"), "--audio", str(clips), "--model", "dsp"]
    assert main([*given, "--method", "non-negative", "--jobs", "1", "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["schema"] == "train-weights/1" and body["triplets"] == 12 and body["config"] == str(config)
    preset = read_presets(config)["ours"]
    assert (preset.weights, preset.summary) == (body["weights"], body["summary"])
    assert preset.summary.startswith("non-negative on 12 judged triplets, of labels.csv")
    terms = {one["space"]: one for one in body["spaces"]}
    assert list(terms) == ["melody", "rhythm", "timbre", "harmony"]
    assert max(one["weight"] for one in terms.values()) == 1
    # A weight of z-scores is the weight of cosines times sigma, up to one factor for all.
    sigma = {space.name: space.calibration["track"].sigma for space in load_recipe("dsp").spaces}
    products = np.array([terms[name]["cosine"] * sigma[name] for name in terms])
    np.testing.assert_allclose([one["weight"] for one in terms.values()], products / products.max(), atol=1e-9)
    assert main(["presets", "--json"]) == 0
    listed = {one["name"]: one for one in json.loads(capsys.readouterr().out)["presets"]}
    assert listed["ours"]["summary"] == preset.summary and not listed["ours"]["built_in"]

    for arguments, message in (
        (given, "has a preset ours; choose another name, or give --replace"),
        ([*given[:2], "new", *given[3:], "--question", "melody"], "no question melody; known: total, timbre"),
        ([*given[:2], "new", *given[3:], "--question", "timbre"], "too few triplets for timbre"),
        ([*given[:2], "a=b", *given[3:]], "a name with =, a comma or a space"),
    ):
        assert main(arguments) == 2
        assert message in " ".join(capsys.readouterr().err.split())
