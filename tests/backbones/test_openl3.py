"""The backbone `openl3`: rows of windows are means over seconds, and what is missing is one clear line."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from soundalike.core import plugins
from soundalike.core.errors import ModelError

torch = pytest.importorskip("torch", reason="openl3 runs in torch: pip install 'soundalike[mert]'")


def test_rows_are_means_over_audible_seconds(tmp_path: Path) -> None:
    models = pytest.importorskip("torchopenl3.models", reason="torchopenl3 is not installed")
    torch.manual_seed(0)
    network = models.PytorchOpenl3(input_repr="mel256", content_type="music", embedding_size=512).eval()
    torch.save(network.state_dict(), tmp_path / "weights.pth.tar")
    backbone = plugins.load("backbones", "openl3", weights=tmp_path / "weights.pth.tar")
    sound = (0.1 * np.random.default_rng(0).standard_normal(round(4.3 * backbone.rate))).astype(np.float32)
    sound[backbone.rate : 2 * backbone.rate] = 0
    windows = np.array([[0.0, 3.0], [1.0, 2.0], [3.0, 4.3], [4.0, 4.2]])
    found = backbone.features(np.split(sound, [5, 70_000]), lambda _: windows)
    with torch.inference_mode():
        each = [
            network(torch.from_numpy(np.pad(part, (0, backbone.rate - len(part)))[None, None]))[0].numpy()
            for part in (sound[at : at + backbone.rate] for at in range(0, len(sound), backbone.rate))
        ]
    expected = [(each[0] + each[2]) / 2, np.zeros(512), each[3], each[4]]
    np.testing.assert_allclose(found.rows["embedding"], expected, atol=1e-4)
    assert found.audible["embedding"].tolist() == [True, False, True, True]
    again = backbone.features([sound], lambda _: windows)
    assert np.array_equal(found.rows["embedding"], again.rows["embedding"])
    assert backbone.features([], lambda _: windows).rows["embedding"].shape == (0, 512)
    save_file({"x": np.zeros(3, np.float32)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match=r"other\.safetensors is not torchopenl3_mel256_music_512: Error"):
        plugins.load("backbones", "openl3", weights=tmp_path / "other.safetensors")


def test_what_is_missing_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="needs its weights; install them with `soundalike models install openl3"):
        plugins.load("backbones", "openl3")
    monkeypatch.setitem(sys.modules, "torchopenl3", None)
    monkeypatch.setitem(sys.modules, "torchopenl3.models", None)
    save_file({"x": np.zeros(3, np.float32)}, tmp_path / "weights.safetensors")
    with pytest.raises(ModelError, match="openl3 runs in torchopenl3, which is not installed"):
        plugins.load("backbones", "openl3", weights=tmp_path / "weights.safetensors")
