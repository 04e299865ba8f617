"""The separator `unet`: pieces equal one pass, masks of the mean reach both channels, and wrong files are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from conftest import TUNES, tune
from soundalike.audio.separators.unet import UnetSeparator
from soundalike.audio.separators.unet_network import UnetSettings
from soundalike.core.errors import ModelError
from tiny_unet import write_tiny_masks, write_tiny_rows

RATE = 16_000

torch = pytest.importorskip("torch", reason="unet needs torch here: pip install 'soundalike[train]'")
onnx = pytest.importorskip("onnx", reason="unet needs onnx here: pip install 'soundalike[train]'")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_masks(tmp_path_factory.mktemp("weights") / "masks")


def stereo(seconds: float) -> np.ndarray:
    return np.stack([tune(TUNES[name], seconds=seconds, rate=RATE) for name in ("up", "leaps")])


def separated(separator: UnetSeparator, mix: np.ndarray, size: int = 30_000) -> dict[str, np.ndarray]:
    blocks = list(separator.separate_blocks([mix[:, k : k + size] for k in range(0, mix.shape[1], size)]))
    return {name: np.concatenate([block[name] for block in blocks], axis=1) for name in separator.stems}


def test_pieces_equal_one_pass_over_the_recording(weights: Path) -> None:
    mix = stereo(20.3)
    whole = separated(UnetSeparator(weights, frames=64 * 40, context=0), mix)
    pieces = separated(UnetSeparator(weights, frames=128, context=256), mix, size=50_001)
    without = separated(UnetSeparator(weights, frames=128, context=0), mix)
    for stem in whole:
        assert pieces[stem].shape == mix.shape
        assert np.abs(whole[stem]).max() > 0.05
        assert np.abs(pieces[stem] - whole[stem]).max() <= 1e-5
        assert np.abs(without[stem] - whole[stem]).max() > 1e-4  # so that the test can fail


def test_the_mask_of_the_mean_is_applied_to_each_channel(weights: Path) -> None:
    separator, mix = UnetSeparator(weights), torch.from_numpy(stereo(2.0))
    window = torch.hann_window(512)
    spectra = torch.stft(mix, 512, 256, window=window, center=True, pad_mode="constant", return_complex=True)
    (masks,) = separator._network(spectra.mean(dim=0, keepdim=True).abs()[:, :-1].numpy())
    stems = separated(separator, mix.numpy())
    for index, stem in enumerate(separator.stems):
        masked = spectra * torch.nn.functional.pad(torch.from_numpy(masks[0, index]), (0, 0, 0, 1))
        expected = torch.istft(masked, 512, 256, window=window, center=True, length=mix.shape[1]).numpy()
        assert np.abs(stems[stem] - expected).max() <= 1e-5
        assert np.abs(stems[stem] - mix.numpy()).max() > 0.05


def rewritten(source: Path, out: Path, change) -> Path:
    """The file of a network after a change to its protocol buffer."""
    model = onnx.load(str(source))
    change(model)
    onnx.save(model, str(out))
    return out


def set_text(text: str):
    def change(model) -> None:
        model.metadata_props[0].value = text

    return change


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda model: model.metadata_props.pop(), "is a network of another kind: it has no settings of soundalike"),
        (set_text("{"), "is a network of another kind: "),
        (set_text("[]"), "its settings are not a table"),
        (set_text('{"format": 2}'), "it has format 2, this version reads 1"),
        (set_text('{"format": 1}'), r"its settings are incomplete \(KeyError\('instruments'\)\)"),
        (lambda model: set_text(model.metadata_props[0].value.replace("512", "1024"))(model),
         "has the sizes spectrum any x 256 x any.*its settings say spectrum any x 512 x any"),
        (lambda model: set_text(model.metadata_props[0].value.replace("256", "200"))(model),
         "frames of 512 samples every 200 are not possible"),
        (lambda model: set_text(model.metadata_props[0].value.replace('"drums", ', ""))(model),
         "has the sizes .* masks any x 2 x 256 x any.* say .* masks any x 1 x 256 x any"),
        (lambda model: set_text(model.metadata_props[0].value.replace("drums", "kazoo"))(model),
         "separates kazoo; the known stems are vocals, drums"),
    ],
)  # fmt: skip
def test_a_network_of_another_kind_or_size_is_one_clear_line(weights: Path, change, why: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=why) as found:
        UnetSeparator(rewritten(weights, tmp_path / "a.onnx", change))
    assert "\n" not in str(found.value)


def test_a_missing_damaged_or_other_file_is_one_clear_line(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.onnx cannot be read \(No such file"):
        UnetSeparator(tmp_path / "none.onnx")
    with pytest.raises(ModelError, match=r"unet\.onnx cannot be read"):
        UnetSeparator(tmp_path)
    (tmp_path / "cut.onnx").write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(ModelError, match=r"cut\.onnx is damaged or no network .*; give a file that") as found:
        UnetSeparator(tmp_path / "cut.onnx")
    assert "\n" not in str(found.value)
    with pytest.raises(ModelError, match=r"gives rows of instruments, for the backbone unet; expected masks"):
        UnetSeparator(write_tiny_rows(tmp_path / "rows"))


def test_the_version_follows_the_weights_and_settings_survive_their_text(weights: Path, tmp_path: Path) -> None:
    separator = UnetSeparator(weights)
    assert (separator.rate, separator.stems, separator.licence) == (16_000, ("drums", "other"), "CC0-1.0")
    other = rewritten(weights, tmp_path / "a.onnx", lambda model: setattr(model, "producer_name", "other"))
    assert UnetSeparator(other).version != separator.version
    settings = separator._settings
    assert UnetSettings.from_json(settings.to_json()) == settings
