"""Demucs: the stream beside the package's own way, and weights that are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from formulas import formula_sound

from soundalike.core import plugins
from soundalike.core.errors import ModelError
from tiny_separators import FOUR, separator_options


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return separator_options("demucs", tmp_path_factory.mktemp("weights"))["weights"]


@pytest.mark.parametrize("samples", [70_001, 20_000])
def test_the_stream_equals_apply_model(weights: Path, samples: int) -> None:
    import torch
    from demucs.apply import apply_model
    from demucs.hf import load_safetensors_model

    sound = formula_sound(samples / 44_100 + 0.1, 44_100)[:samples]
    mix = np.stack([sound, -0.3 * sound[::-1]])
    separator = plugins.load("separators", "demucs", weights=weights)
    assert separator.stems == FOUR
    blocks = list(separator.separate_blocks([mix[:, k : k + 7777] for k in range(0, samples, 7777)]))
    network = load_safetensors_model(next(weights.glob("*.safetensors"))).eval()
    expected = apply_model(network, torch.from_numpy(mix)[None], shifts=0)[0].numpy()
    for stem, reference in zip(FOUR, expected, strict=True):
        assert np.abs(np.concatenate([block[stem] for block in blocks], axis=1) - reference).max() <= 1e-6


def test_weights_that_name_other_classes_or_stems_are_refused(weights: Path, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    with pytest.raises(ModelError, match="the separator demucs6 expects drums, bass, other, vocals, guitar, piano"):
        plugins.load("separators", "demucs6", weights=weights)
    with pytest.raises(ModelError, match="has 0 lists of models"):
        plugins.load("separators", "demucs", weights=tmp_path)
    (tmp_path / "a.yaml").write_text("models: ['aa', 'bb']\n")
    with pytest.raises(ModelError, match="does not name exactly one model"):
        plugins.load("separators", "demucs", weights=tmp_path)
    (tmp_path / "a.yaml").write_text("models:\n- aa\n")
    with pytest.raises(ModelError, match="cannot be read"):
        plugins.load("separators", "demucs", weights=tmp_path)
    save_file({"a": np.zeros(1)}, tmp_path / "aa.safetensors", metadata={"klass": "os.system", "args": '["true"]'})
    with pytest.raises(ModelError, match="holds a network of 'os.system'; expected demucs.htdemucs.HTDemucs"):
        plugins.load("separators", "demucs", weights=tmp_path)
