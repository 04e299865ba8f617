"""The backbone `mert` against a plain loop over transformers' model, and its messages for invalid files."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_mert import CONFIG, PROCESSOR, reference, write_tiny_mert

from conftest import TUNES, tune
from soundalike.audio.stream import windows
from soundalike.backbones.mert import MertBackbone, normalised
from soundalike.backbones.mert_network import DEVICE_VARIABLE, MertNetwork, MertSettings
from soundalike.backbones.weight_files import weights_version
from soundalike.core.errors import ModelError, UsageError
from soundalike.core.types import LEVELS, Calibration, FloatArray
from soundalike.evaluate import attribute_model
from soundalike.models import Model
from soundalike.train.common.recipe import space_entry, write_model

torch = pytest.importorskip("torch", reason="MERT needs torch: pip install 'soundalike[mert]'")
pytest.importorskip("transformers", reason="MERT needs transformers: pip install 'soundalike[mert]'")

RATE = 24_000
POST_NORM: dict[str, Any] = {"do_stable_layer_norm": False, "attention_relax": -1.0}  # as in MERT-v1-95M


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of digests for each test."""
    monkeypatch.setattr("soundalike.backbones.weight_files.cache_folder", lambda: tmp_path / "cache")


@pytest.fixture(autouse=True)
def _float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute in float32 on processors that are made for bfloat16 too."""
    monkeypatch.setattr("soundalike.backbones.mert_network.processor_flags", frozenset)


def plain(config: dict[str, Any], samples: FloatArray, processor: dict[str, Any]) -> FloatArray:
    """One clip, as the model's page on the hub encodes it: with all hidden states."""
    from transformers import Wav2Vec2FeatureExtractor

    inputs = Wav2Vec2FeatureExtractor(**processor)(samples, sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        states = reference(config)(inputs["input_values"], output_hidden_states=True).hidden_states
    rows: FloatArray = torch.cat([states[k].mean(dim=1) for k in (3, 4, 5, 6, 7)], dim=1).numpy()
    return rows


@pytest.mark.parametrize("changes", [{}, POST_NORM], ids=["330M", "95M"])
@pytest.mark.parametrize("normalise", [True, False])
def test_features_equal_a_plain_loop(tmp_path: Path, changes: dict[str, Any], normalise: bool) -> None:
    processor = PROCESSOR | {"do_normalize": normalise}
    backbone = MertBackbone(write_tiny_mert(tmp_path / "mert", processor=processor, **changes))
    samples = tune(TUNES["up"], seconds=23.4, rate=RATE)
    features = backbone.features([samples[:100_000], samples[100_000:]], windows)
    assert features.rows["layers"].shape == (4, 160)
    for row, (start, end) in zip(features.rows["layers"], features.windows, strict=True):
        clip = np.zeros(10 * RATE, np.float32)
        part = samples[round(start * RATE) : round(end * RATE)]
        clip[: len(part)] = part
        assert row.tolist() == pytest.approx(plain(CONFIG | changes, clip, processor)[0].tolist(), abs=1e-5)


def test_both_kinds_of_weights_give_the_same_rows(tmp_path: Path) -> None:
    samples = [tune(TUNES["down"], seconds=3, rate=RATE)]
    first = MertBackbone(write_tiny_mert(tmp_path / "bin"))
    second = MertBackbone(write_tiny_mert(tmp_path / "safetensors", safetensors=True))
    assert np.array_equal(
        first.features(samples, windows).rows["layers"], second.features(samples, windows).rows["layers"]
    )


def test_batches_do_not_change_rows_and_nothing_deeper_is_computed(tmp_path: Path) -> None:
    network = MertNetwork(MertSettings.read(write_tiny_mert(tmp_path / "mert")), "cpu")
    assert len(network.model.encoder.layers) == 7  # of 8
    clips = np.random.default_rng(0).standard_normal((5, 2 * RATE)).astype(np.float32)
    together = network(clips)
    for number, clip in enumerate(clips):
        assert network(clip[None])[0].tolist() == pytest.approx(together[number].tolist(), abs=1e-5)


def test_long_windows_stay_whole_and_silent_ones_are_inaudible(tmp_path: Path) -> None:
    backbone = MertBackbone(write_tiny_mert(tmp_path / "mert"))
    samples = np.concatenate([tune(TUNES["up"], seconds=12, rate=RATE), np.zeros(12 * RATE, np.float32)])
    grid = np.array([[0.0, 10.0], [0.0, 24.0], [13.0, 23.0]])
    features = backbone.features([samples], lambda _: grid)
    assert features.audible["layers"].tolist() == [True, True, False]
    for row, clip in zip(features.rows["layers"], (samples[: 10 * RATE], samples), strict=False):
        assert row.tolist() == pytest.approx(plain(CONFIG, clip, PROCESSOR)[0].tolist(), abs=1e-5)
    assert not features.rows["layers"][2].any()
    assert features.descriptors.tempo is None


def test_the_layers_are_the_blocks_of_the_attribution(tmp_path: Path) -> None:
    backbone = MertBackbone(write_tiny_mert(tmp_path / "model" / "mert"))
    norms = {"layer 3": 1.0, "layer 4": 2.0, "layer 5": 3.0, "layer 6": 4.0, "layer 7": 0.0}
    assert list(backbone.parts["layers"]) == list(norms)
    assert sum(backbone.parts["layers"].values()) == backbone.dims["layers"]
    random = np.random.default_rng(0)
    blocks = [random.standard_normal((6, size)) for size in backbone.parts["layers"].values()]
    planted = [norm * block / np.linalg.norm(block) for norm, block in zip(norms.values(), blocks, strict=True)]
    level = Calibration(0.0, 1.0, tuple(np.linspace(-1, 1, 101)))
    write_model(
        tmp_path / "model",
        name="heads",
        summary="A head on layers.",
        licence="CC0-1.0",
        spaces=[space_entry("melody", backbone, "layers", "mlp", 4, {"track": level, "passage": level})],
        tensors={
            "melody.hidden.weight": np.hstack(planted).astype(np.float32),
            "melody.hidden.bias": np.zeros(6, np.float32),
            "melody.out.weight": random.standard_normal((4, 6)).astype(np.float32),
        },
        trained_on=[],
        seed=0,
        backbones={"mert": {"weights": "mert"}},
    )
    report = attribute_model(str(tmp_path / "model"))
    assert report.columns == tuple(norms)
    assert report.values[0].tolist() == pytest.approx([10, 20, 30, 40, 0], abs=1e-4)


def test_long_recordings_wait_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = MertBackbone(write_tiny_mert(tmp_path / "mert"))
    samples = tune(TUNES["up"], seconds=11, rate=RATE)
    expected = backbone.features([samples], windows).rows["layers"]
    monkeypatch.setattr("soundalike.backbones.analysis.clips._IN_MEMORY", 1)
    assert np.array_equal(backbone.features(np.array_split(samples, 7), windows).rows["layers"], expected)


def test_the_settings_of_the_published_models(tmp_path: Path) -> None:
    for count, size, last in ((24, 1024, 23), (12, 768, 11)):
        folder = write_tiny_mert(tmp_path / str(count))
        config = CONFIG | {"num_hidden_layers": count, "hidden_size": size}
        (folder / "config.json").write_text(json.dumps(config))
        backbone = MertBackbone(folder)
        assert backbone.settings.layers == (3, 4, 5, 6, last)
        assert (backbone.rate, dict(backbone.dims)) == (24_000, {"layers": 5 * size})


def test_normalisation_includes_the_zeros_at_the_end() -> None:
    clip = np.r_[np.array([1, 3], np.float32), np.zeros(2, np.float32)]
    assert normalised(clip).tolist() == pytest.approx([0.0, 2 / 1.5**0.5, -1 / 1.5**0.5, -1 / 1.5**0.5], abs=1e-6)


def test_a_version_follows_from_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_tiny_mert(tmp_path / "mert")
    version = MertBackbone(folder).version
    assert MertBackbone(Path(shutil.copytree(folder, tmp_path / "copy"))).version == version
    assert MertBackbone(write_tiny_mert(tmp_path / "other", seed=1)).version != version
    (tmp_path / "copy" / "preprocessor_config.json").write_text(json.dumps(PROCESSOR | {"do_normalize": False}))
    assert MertBackbone(tmp_path / "copy").version != version
    with pytest.raises(ModelError, match="gone cannot be read"):
        weights_version(1, [tmp_path / "gone"])

    def never(_: Path) -> str:
        raise AssertionError("read again")

    monkeypatch.setattr("soundalike.backbones.weight_files.content_hash", never)
    assert MertBackbone(folder).version == version  # from the cache


class _Bomb:
    """What a malicious pickle does when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("bombed",)


def _pickle(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": _Bomb()}))


def _malicious(folder: Path) -> None:
    torch.save({"weight": _Bomb()}, folder / "pytorch_model.bin")


def _truncated(folder: Path) -> None:
    content = (folder / "pytorch_model.bin").read_bytes()
    (folder / "pytorch_model.bin").write_bytes(content[: len(content) // 2])


def _empty(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"")


def _truncated_safetensors(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")


def _other_dimensions(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps(CONFIG | {"intermediate_size": 64}))


def _fewer_layers(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps(CONFIG | {"num_hidden_layers": 12}))


def _impossible(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps(CONFIG | {"num_attention_heads": 5}))


def _unnamed(folder: Path) -> None:
    torch.save([torch.zeros(3)], folder / "pytorch_model.bin")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_pickle, "holds more than tensors, or is no file of torch.save"),
        (_malicious, "holds more than tensors, or is no file of torch.save"),
        (_truncated, "pytorch_model.bin is damaged .*download it again"),
        (_empty, "pytorch_model.bin is damaged .*download it again"),
        (_truncated_safetensors, "model.safetensors is damaged .*download it again"),
        (_other_dimensions, r"has shape \(48, 32\), expected \(64, 32\) as config.json says"),
        (_fewer_layers, "has no tensor encoder.layers.8"),
        (_impossible, "config.json is invalid"),
        (_unnamed, "holds no plain dict of tensors"),
    ],
)
def test_invalid_weights_are_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], None], message: str
) -> None:
    folder = write_tiny_mert(tmp_path / "mert")
    spoil(folder)
    monkeypatch.chdir(tmp_path)
    backbone = MertBackbone(folder)
    with pytest.raises(ModelError, match=message) as caught:
        backbone.features([tune(TUNES["up"], seconds=1, rate=RATE)], windows)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "bombed").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", None, "config.json cannot be read .*copy all files"),
        ("preprocessor_config.json", None, "preprocessor_config.json cannot be read"),
        ("pytorch_model.bin", None, "has no model.safetensors or pytorch_model.bin"),
        ("config.json", "{", "config.json is not valid JSON"),
        ("config.json", "[]", "config.json has a list; expected an object"),
        ("config.json", '{"model_type": "bert"}', "a model of type 'bert'; expected 'mert_model'"),
        ("config.json", '{"model_type": "hubert"}', "incomplete .*num_hidden_layers"),
        ("config.json", json.dumps(CONFIG | {"num_hidden_layers": 7}), "has 7 layers; expected 24"),
        ("config.json", json.dumps(CONFIG | {"feature_extractor_cqt": True}), "has feature_extractor_cqt; expected"),
        ("preprocessor_config.json", '{"sampling_rate": 24000}', "incomplete .*do_normalize"),
    ],
)
def test_invalid_folders_are_rejected(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    folder = write_tiny_mert(tmp_path / "mert")
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(ModelError, match=message):
        MertBackbone(folder)


def test_a_device_that_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = MertSettings.read(write_tiny_mert(tmp_path / "mert"))
    monkeypatch.setenv(DEVICE_VARIABLE, "gpu")
    with pytest.raises(UsageError, match="SOUNDALIKE_DEVICE is 'gpu'; expected auto, cpu, onnx, int8, cuda"):
        MertBackbone(settings.folder)
    with pytest.raises(UsageError, match=r"the device cuda:99 cannot be used \(.*\); set SOUNDALIKE_DEVICE=cpu"):
        MertNetwork(settings, "cuda:99")


def test_rows_of_8_bit_products_are_of_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, versions = write_tiny_mert(tmp_path / "model" / "mert"), {}
    for device in ("auto", "cpu", "onnx", "int8"):
        monkeypatch.setenv(DEVICE_VARIABLE, device)
        versions[device] = MertBackbone(folder).version
    assert versions["auto"] == versions["cpu"] == versions["onnx"] != versions["int8"]

    level = dict.fromkeys(LEVELS, Calibration(0.0, 1.0, tuple(np.linspace(-1, 1, 101))))
    for made, used, remedy in (
        ("int8", "cpu", "set SOUNDALIKE_DEVICE=int8, or install"),
        ("cpu", "int8", "set SOUNDALIKE_DEVICE to another device than int8, or install"),
    ):
        monkeypatch.setenv(DEVICE_VARIABLE, made)
        entry = space_entry("overall", MertBackbone(folder), "layers", "identity", 160, level)
        write_model(
            folder.parent, name="mert", summary="", licence="CC0-1.0", spaces=[entry], seed=0, trained_on=[],
            tensors={"none": np.zeros(1, np.float32)}, backbones={"mert": {"weights": "mert"}},
        )  # fmt: skip
        assert Model.load(folder.parent).backbones["mert"].version == versions[made]
        monkeypatch.setenv(DEVICE_VARIABLE, used)
        with pytest.raises(ModelError, match=remedy):
            Model.load(folder.parent)


@pytest.mark.parametrize(("device", "least"), [("onnx", 1 - 1e-6), ("int8", 0.999)])
def test_onnx_runtime_agrees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, least: float) -> None:
    pytest.importorskip("onnx", reason="the export of networks needs onnx: pip install 'soundalike[train]'")
    folder = write_tiny_mert(tmp_path / "mert")
    samples = [tune(TUNES["up"], seconds=13, rate=RATE)]
    expected = MertBackbone(folder).features(samples, windows).rows["layers"]
    monkeypatch.setenv(DEVICE_VARIABLE, device)
    backbone = MertBackbone(folder)
    rows = backbone.features(samples, windows).rows["layers"]
    cosines = np.sum(rows * expected, axis=1) / np.linalg.norm(rows, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosines.min() >= least
    assert not np.array_equal(rows, expected)
    (kept,) = folder.glob("*.onnx")
    assert kept.name.startswith(f"soundalike-{backbone.version}-")
    # The file is used again: without the weights, nothing else is there to load.
    monkeypatch.setattr("soundalike.backbones.mert_onnx.MertNetwork", None)
    assert np.array_equal(MertBackbone(folder).features(samples, windows).rows["layers"], rows)
    kept.write_bytes(b"not a network")
    with pytest.raises(ModelError, match="is not a valid network .*delete it"):
        _ = MertBackbone(folder).network


def test_threads_that_share_a_model_get_their_own_rows(tmp_path: Path) -> None:
    backbone = MertBackbone(write_tiny_mert(tmp_path / "mert"))
    clips = np.random.default_rng(0).standard_normal((4, 1, 24_000)).astype(np.float32)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: backbone.network(clips[number % 4]), range(80)))
    for number, clip in enumerate(clips):
        expected = backbone.network(clip)
        assert all(np.array_equal(row, expected) for row in found[number::4])


def test_processors_with_16_bit_products_use_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_tiny_mert(tmp_path / "mert")
    samples = tune(TUNES["up"], seconds=10, rate=RATE)
    rows = []
    for flags in ({"avx512f"}, {"avx512f", "avx512_bf16"}):
        monkeypatch.setattr("soundalike.backbones.mert_network.processor_flags", lambda found=flags: frozenset(found))
        backbone = MertBackbone(folder)
        rows.append(backbone.features([samples], windows).rows["layers"][0])
    one, other = rows
    assert 0 < np.abs(one - other).max() < 0.1
    assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) > 0.999
