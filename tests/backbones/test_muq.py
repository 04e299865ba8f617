"""MuQ-MuLan against recorded outputs of its authors' code, on weights and sounds from formulas."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from tiny_muq import RATE, RECORDED, formula_signal, tiny_tensors, write_tiny_muq

from soundalike.audio.stream import windows
from soundalike.backbones.muq import MuqBackbone
from soundalike.core.errors import ModelError, UsageError

torch = pytest.importorskip("torch", reason="MuQ runs in torch: pip install 'soundalike[mert]'")
pytest.importorskip("transformers", reason="MuQ runs in transformers: pip install 'soundalike[mert]'")

SOUND = formula_signal()
LATENT = "mulan.audio_to_latents.weight"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_muq(tmp_path_factory.mktemp("hub") / "MuQ-MuLan-large")


@pytest.fixture(scope="module")
def backbone(folder: Path) -> MuqBackbone:
    return MuqBackbone(folder)


def row(backbone: MuqBackbone, start: float, end: float) -> np.ndarray:
    """The embedding of one window of the signal, which comes in blocks."""
    return backbone.features(np.array_split(SOUND, 7), lambda _: np.array([[start, end]])).rows["embedding"][0]


def test_mel_frames_are_those_of_the_authors(backbone: MuqBackbone) -> None:
    with torch.inference_mode():
        found = backbone.network.mel(torch.from_numpy(SOUND[:RATE])[None])[0].numpy()
    assert found.shape == (128, 100)
    np.testing.assert_allclose(found[:, RECORDED["mel"]["frames"]].T, RECORDED["mel"]["values"], atol=1.5e-5)


@pytest.mark.parametrize("seconds", [3, 5, 10, 23])
def test_embeddings_are_those_of_the_authors(backbone: MuqBackbone, seconds: int) -> None:
    """3 s are a clip of 6 s, 5 s are played twice, and the last 3 of 23 s are completed from the start."""
    expected = RECORDED["embeddings"][str(seconds)]
    np.testing.assert_allclose(row(backbone, 0.0, seconds), expected, atol=1e-5)
    others = [value for name, value in RECORDED["embeddings"].items() if name != str(seconds)]
    assert min(np.abs(np.subtract(expected, other)).max() for other in others) > 0.01, "the sounds tell rules apart"


def test_the_mean_of_clips_is_not_normalised(backbone: MuqBackbone) -> None:
    completed = np.concatenate([SOUND[20 * RATE :], SOUND[: 7 * RATE]])
    last = backbone.features([completed], lambda _: np.array([[0.0, 10.0]])).rows["embedding"][0]
    mean = (row(backbone, 0.0, 10.0) + row(backbone, 10.0, 20.0) + last) / 3
    np.testing.assert_allclose(row(backbone, 0.0, 23.0), mean, atol=1e-6)
    assert np.linalg.norm(row(backbone, 0.0, 23.0)) < 0.999 and np.linalg.norm(last) == pytest.approx(1)


def test_a_window_is_completed_from_its_own_start(backbone: MuqBackbone) -> None:
    alone = backbone.features([SOUND[12 * RATE : 17 * RATE]], lambda _: np.array([[0.0, 5.0]]))
    np.testing.assert_allclose(row(backbone, 12.0, 17.0), alone.rows["embedding"][0], atol=1e-6)


def test_another_hidden_state_and_safetensors(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    write_tiny_muq(tmp_path, use_layer_idx=1)
    (tmp_path / "pytorch_model.bin").unlink()
    save_file(tiny_tensors(), tmp_path / "model.safetensors")
    found = row(MuqBackbone(tmp_path), 0.0, 10.0)
    np.testing.assert_allclose(found, RECORDED["embeddings"]["10, hidden state 1"], atol=1e-5)


def test_silent_and_very_short_windows(backbone: MuqBackbone) -> None:
    sound = np.concatenate([np.zeros(10 * RATE, np.float32), SOUND[: 5 * RATE]])
    bounds = np.array([[0.0, 10.0], [5.0, 15.0], [12.0, 12.01], [14.999, 15.0]])
    found = backbone.features([sound], lambda _: bounds)
    assert found.audible["embedding"].tolist() == [False, True, True, True]
    assert not found.rows["embedding"][0].any()
    np.testing.assert_allclose(np.linalg.norm(found.rows["embedding"][1:], axis=1), 1.0, rtol=1e-5)


def test_default_windows_repeat_bit_for_bit(backbone: MuqBackbone) -> None:
    first, second = (
        backbone.features(np.array_split(SOUND[: 16 * RATE], parts), windows).rows["embedding"] for parts in (1, 5)
    )
    assert np.array_equal(first, second) and len(first) > 1


def test_the_version_follows_the_weights(folder: Path, backbone: MuqBackbone, tmp_path: Path) -> None:
    tensors = tiny_tensors()
    same, other = write_tiny_muq(tmp_path / "same"), tmp_path / "other"
    write_tiny_muq(other, tensors=tensors | {LATENT: tensors[LATENT] + 1})
    assert MuqBackbone(same).version == backbone.version != MuqBackbone(other).version
    assert MuqBackbone(write_tiny_muq(tmp_path / "layer", use_layer_idx=1)).version != backbone.version


def _text(name: str, content: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_text(content)

    return write


def _settings(section: str, **changes: object) -> Callable[[Path], None]:
    config = RECORDED["config"]
    return _text("config.json", json.dumps(config | {section: config[section] | changes}))


def _without_weights(folder: Path) -> None:
    (folder / "pytorch_model.bin").unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "config.json cannot be read .*copy all files"),
        (_text("config.json", "{"), "config.json is not that of a MuQ-MuLan"),
        (_text("config.json", "[]"), "config.json is not that of a MuQ-MuLan"),
        (_text("config.json", '{"model_type": "hubert"}'), "config.json is not that of a MuQ-MuLan .*'mulan'"),
        (_settings("mulan", sr=16_000), "has a rate of 16000 Hz, .*expected 24000 Hz"),
        (_settings("audio_transformer", tf_depth=8), "8 layers after the projection.*expected .*0 layers"),
        (_without_weights, "has no model.safetensors or pytorch_model.bin"),
    ],
)
def test_wrong_folders_are_one_clear_line(spoil: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    spoil(write_tiny_muq(tmp_path))
    with pytest.raises(ModelError, match=message) as caught:
        MuqBackbone(tmp_path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def _without(part: str) -> dict[str, np.ndarray]:
    return {name: tensor for name, tensor in tiny_tensors().items() if part not in name}


CONV = "mulan.audio.model.model.conv.conv.0.conv1.weight"
DEPTHWISE = "mulan.audio.model.model.conformer.layers.0.conv_module.depthwise_conv.weight"
WRONG: MappingProxyType[str, tuple[Callable[[], dict[str, np.ndarray]], str]] = MappingProxyType(
    {
        "another size": (
            lambda: tiny_tensors() | {LATENT: np.ones((16, 25), np.float32)},
            r"\(16, 25\), expected \(16,",
        ),
        "other maps": (
            lambda: tiny_tensors() | {CONV: np.ones((5, 1, 3, 3), np.float32)},
            "bias has shape .*use files",
        ),
        "an even kernel": (lambda: tiny_tensors() | {DEPTHWISE: np.ones((128, 1, 30), np.float32)}, "of no MuQ-MuLan"),
        "no axis": (lambda: tiny_tensors() | {DEPTHWISE: np.ones(128, np.float32)}, "has no tensor .*depthwise"),
        "one missing": (lambda: _without("layers.1.ffn1.output_dense.bias"), "has no tensor .*layers.1.ffn1.output"),
        "no conformer": (lambda: _without("conformer"), "names the hidden state -1 of a conformer of 0 layers"),
        "another model": (
            lambda: {"weight": np.ones(3, np.float32)},
            "give a copy of OpenMuQ/MuQ-MuLan-large|0 layers",
        ),
    }
)


@pytest.mark.parametrize("damage", [*WRONG, "cut"])
def test_wrong_weights_are_one_clear_line(damage: str, tmp_path: Path) -> None:
    tensors, message = WRONG.get(damage, (tiny_tensors, "pytorch_model.bin is damaged .*again"))
    file = write_tiny_muq(tmp_path, tensors=tensors()) / "pytorch_model.bin"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(ModelError, match=message) as caught:
        row(MuqBackbone(tmp_path), 0.0, 1.0)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_devices_and_modules_that_are_missing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUNDALIKE_DEVICE", "cuda:99")
    with pytest.raises(UsageError, match="the device cuda:99 cannot be used"):
        row(MuqBackbone(folder), 0.0, 1.0)
    monkeypatch.setenv("SOUNDALIKE_DEVICE", "onnx")
    assert row(MuqBackbone(folder), 0.0, 1.0).any()
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModelError, match=r"the backbone muq needs torch .*pip install 'soundalike\[mert\]'"):
        row(MuqBackbone(folder), 0.0, 1.0)
