"""CLAP against transformers' own feature extractor, and checkpoints against recorded outputs of LAION's code."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from formulas import formula_sound, formula_tensor

from soundalike.backbones.analysis.clap_checkpoint import convert
from soundalike.backbones.analysis.mel_frames import mel_frames
from soundalike.backbones.weight_files import read_torch_tensors
from soundalike.core import plugins
from soundalike.core.errors import ModelError

torch = pytest.importorskip("torch", reason="CLAP runs in torch: pip install 'soundalike[mert]'")
transformers = pytest.importorskip("transformers", reason="CLAP runs in transformers: pip install 'soundalike[mert]'")

RATE = 48_000
REFERENCE = json.loads((Path(__file__).parent / "clap_reference.json").read_text())
AUDIO = {
    "patch_embeds_hidden_size": 8,
    "hidden_size": 64,
    "depths": [1, 1, 1, 1],
    "num_attention_heads": [1, 1, 2, 2],
    "projection_dim": 16,
}
TEXT = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with both branches in the layout of the hub."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("hub")
    config = transformers.ClapConfig(audio_config=AUDIO, text_config={**TEXT, "projection_dim": 16}, projection_dim=16)
    transformers.ClapModel(config).save_pretrained(folder)
    transformers.ClapFeatureExtractor(frequency_min=50, truncation="rand_trunc").save_pretrained(folder)
    return folder


def whole(duration: float) -> np.ndarray:
    return np.array([[0.0, duration]])


def test_frames_and_embedding_are_those_of_transformers(folder: Path) -> None:
    backbone, sound = plugins.load("backbones", "clap", weights=folder), formula_sound(10.0, RATE)
    inputs = transformers.ClapFeatureExtractor.from_pretrained(folder)(sound, sampling_rate=RATE, return_tensors="pt")
    expected = inputs["input_features"][0, 0].numpy()
    np.testing.assert_allclose(mel_frames([sound], backbone._settings).frames, expected, atol=1e-5)
    with torch.inference_mode():
        network = transformers.ClapAudioModelWithProjection.from_pretrained(folder).eval()
        embedding = network(**inputs).audio_embeds[0].numpy()
    found = backbone.features([sound], whole).rows["embedding"][0]
    np.testing.assert_allclose(found, embedding / np.linalg.norm(embedding), atol=1e-5)
    assert (backbone.rate, backbone.dims) == (RATE, {"embedding": 16}) and np.linalg.norm(found) == pytest.approx(1)


def test_short_windows_are_repeated_and_completed_with_silence(folder: Path) -> None:
    """Where pieces of the extractor's waveform meet, its frames differ; all others are equal."""
    backbone, sound = plugins.load("backbones", "clap", weights=folder), formula_sound(4.0, RATE)
    extractor = transformers.ClapFeatureExtractor.from_pretrained(folder)
    expected = extractor(sound, sampling_rate=RATE, return_tensors="np")["input_features"][0, 0]
    (patch,) = backbone._patches(mel_frames([sound], backbone._settings).frames[:400])
    differing = np.flatnonzero(np.abs(patch - expected).max(axis=1) > 1e-4)
    assert set(differing) <= {0, 1, 399, 400, 401, 799, 800, 801}
    assert (patch[803:] == -100.0).all()


def test_windows_of_any_length_have_unit_rows_that_repeat(folder: Path) -> None:
    backbone, sound = plugins.load("backbones", "clap", weights=folder), formula_sound(23.0, RATE)
    windows = np.array([[0.0, 23.0], [0.0, 10.0], [20.0, 23.0], [3.0, 3.001]])
    first = backbone.features(np.array_split(sound, 7), lambda _: windows)
    second = backbone.features([sound], lambda _: windows)
    assert np.array_equal(first.rows["embedding"], second.rows["embedding"]) and first.audible["embedding"].all()
    np.testing.assert_allclose(np.linalg.norm(first.rows["embedding"][1:], axis=1), 1.0, rtol=1e-5)
    silent = backbone.features([np.zeros(RATE, np.float32)], whole)
    assert not silent.audible["embedding"].any() and not silent.rows["embedding"].any()


def test_the_original_checkpoint_gives_the_embedding_of_the_authors_program(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    tensors = {
        name: torch.from_numpy(formula_tensor(name.removeprefix("module."), shape))
        for name, shape in REFERENCE["shapes"].items()
    }
    # Buffers of integers, which are the same in every model.
    layers = "audio_model.audio_encoder.layers.0.blocks.0.attention.self.relative_position_index"
    index = load_file(folder / "model.safetensors")[layers]
    for name in [name for name in tensors if name.endswith("relative_position_bias_table")]:
        tensors[name.replace("bias_table", "index")] = index.clone()
    tensors["module.audio_branch.bn0.num_batches_tracked"] = torch.tensor(0)
    unused = {"module.audio_branch.logmel_extractor.melW": torch.ones(513, 64), "module.logit_scale_a": torch.ones(())}
    torch.save({"epoch": 3, "state_dict": tensors | unused}, tmp_path / "best.pt")
    convert(tmp_path / "best.pt", tmp_path / "clap")
    backbone = plugins.load("backbones", "clap", weights=tmp_path / "clap")
    found = backbone.features([formula_sound(10.0, RATE)], whole).rows["embedding"][0]
    np.testing.assert_allclose(found, REFERENCE["embedding"], atol=1e-5)


@pytest.mark.parametrize("module", ["numpy._core.multiarray", "numpy.core.multiarray"], ids=["numpy 2", "numpy 1"])
def test_numbers_of_numpy_beside_the_tensors_are_ignored(module: str, tmp_path: Path) -> None:
    before = set(torch.serialization.get_safe_globals())
    content = {"state_dict": {"w": torch.ones(2)}, "accuracy": np.float64(0.25), "epochs": [np.int64(3)]}
    pickled, path = torch_pickle(content), tmp_path / "best.pt"
    path.write_bytes(pickled.replace(b"numpy._core.multiarray", module.encode()))
    with pytest.raises(pickle.UnpicklingError, match="multiarray.scalar"):
        torch.load(path, weights_only=True)
    assert read_torch_tensors(path, "torch")["w"].tolist() == [1, 1]
    assert set(torch.serialization.get_safe_globals()) <= before, "what this file needs is allowed for no other"


class Dangerous:
    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def test_numbers_of_numpy_open_no_door_to_code(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    for trap in (Dangerous(Path.touch, ran), Dangerous(np.load, str(ran)), Dangerous(np.frombuffer, b"1234")):
        content = {"state_dict": {"w": torch.ones(2)}, "accuracy": np.float64(0.25), "x": trap}
        (tmp_path / "bad.pt").write_bytes(torch_pickle(content))
        with pytest.raises(ModelError, match=r"bad\.pt holds more than tensors"):
            read_torch_tensors(tmp_path / "bad.pt", "torch")
    assert not ran.exists()
    (tmp_path / "bad.pt").write_bytes(torch_pickle({"state_dict": {"w": torch.ones(2), "x": np.float64(1)}}))
    with pytest.raises(ModelError, match="holds no plain dict of tensors"):
        read_torch_tensors(tmp_path / "bad.pt", "torch")


def torch_pickle(content: object) -> bytes:
    """What `torch.save` writes in its form without an archive, where names are not compressed."""
    out = io.BytesIO()
    torch.save(content, out, _use_new_zipfile_serialization=False)
    return out.getvalue()


def test_other_checkpoints_are_one_clear_line(tmp_path: Path) -> None:
    names = {name: torch.zeros(shape) for name, shape in REFERENCE["shapes"].items()}
    torch.save({"weight": torch.ones(3)}, tmp_path / "other.pt")
    torch.save(names | {"module.audio_branch.patch_embed.fusion_model.x": torch.ones(1)}, tmp_path / "fusion.pt")
    for name, message in (("other", "no checkpoint of LAION-CLAP"), ("fusion", "with fusion")):
        with pytest.raises(ModelError, match=message):
            convert(tmp_path / f"{name}.pt", tmp_path / "clap")
    assert not (tmp_path / "clap").exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("no folder", "is no folder of a CLAP model"),
        ("another model", "holds a model of type 'hubert', expected 'clap'"),
        ("fusion", "with fusion, expected one without"),
        ("another length", "for 5 s, expected 10 s"),
        ("no weights", "holds no weights of a CLAP model"),
        ("cut weights", "holds no weights of a CLAP model"),
        ("other weights", "lacks .* tensors of a CLAP model"),
    ],
)
def test_wrong_folders_are_one_clear_line(damage: str, message: str, folder: Path, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config, weights = tmp_path / "config.json", tmp_path / "model.safetensors"
    if damage == "no folder":
        config.unlink()
    elif damage == "another model":
        config.write_text('{"model_type": "hubert"}')
    elif damage == "fusion":
        config.write_text('{"model_type": "clap", "audio_config": {"enable_fusion": true}}')
    elif damage == "another length":
        (tmp_path / "preprocessor_config.json").write_text('{"max_length_s": 5}')
    elif damage == "no weights":
        weights.unlink()
    elif damage == "cut weights":
        weights.write_bytes(weights.read_bytes()[:5000])
    else:
        save_file({"x": np.ones(2, np.float32)}, weights, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=message) as caught:
        plugins.load("backbones", "clap", weights=tmp_path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_without_weights_the_remedy_is_named() -> None:
    with pytest.raises(ModelError, match="soundalike models install clap"):
        plugins.load("backbones", "clap")
