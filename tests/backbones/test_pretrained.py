"""The pretrained backbones against recorded outputs of the authors' programs, and what all of them promise."""

from __future__ import annotations

import csv
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from formulas import formula_sound, formula_tensor
from safetensors.numpy import load_file, save_file

from soundalike.audio import MonoStream
from soundalike.backbones.analysis.musicnn_checkpoint import convert, installed_package, read_checkpoint
from soundalike.backbones.base import Backbone
from soundalike.core import plugins
from soundalike.core.errors import ModelError

HERE = Path(__file__).parent
REFERENCES = {name: json.loads((HERE / f"{name}_reference.json").read_text()) for name in ("efficientat", "musicnn")}
SECONDS = {"efficientat": 2.0, "musicnn": 7.0}


def tensors(name: str) -> dict[str, np.ndarray]:
    return {key: formula_tensor(key, shape) for key, shape in REFERENCES[name]["shapes"].items()}


@pytest.fixture(scope="module", params=["efficientat", "musicnn"])
def backbone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    if request.param == "efficientat":
        pytest.importorskip("torch", reason="efficientat runs in torch: pip install 'soundalike[mert]'")
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_file(tensors(request.param), path)
    return plugins.load("backbones", request.param, weights=path)


def whole(duration: float) -> np.ndarray:
    return np.array([[0.0, duration]])


def test_the_embedding_is_that_of_the_authors_program(backbone: Backbone) -> None:
    sound = formula_sound(SECONDS[backbone.name], backbone.rate)
    found = backbone.features([sound], whole).rows["embedding"][0]
    np.testing.assert_allclose(found, REFERENCES[backbone.name]["embedding"], atol=1e-4)


def test_rows_do_not_depend_on_blocks_and_repeat_bit_for_bit(backbone: Backbone) -> None:
    sound = formula_sound(9.0, backbone.rate)
    windows = np.array([[0.0, 5.0], [2.0, 2.4], [2.5, 9.0], [8.9, 9.0]])
    first = backbone.features([sound], lambda _: windows)
    second = backbone.features(np.split(sound, [1, 5000, 5001, 100_000]), lambda _: windows)
    assert np.array_equal(first.rows["embedding"], second.rows["embedding"])
    assert first.audible["embedding"].all() and np.isfinite(first.rows["embedding"]).all()
    assert first.rows["embedding"].shape == (4, backbone.dims["embedding"]) and first.duration == pytest.approx(9.0)


@pytest.mark.parametrize("kind", ["nothing", "one sample", "zeros", "constant", "noise at -100 dB"])
def test_silence_is_inaudible(backbone: Backbone, kind: str) -> None:
    sound = {
        "nothing": np.zeros(0),
        "one sample": np.ones(1),
        "zeros": np.zeros(backbone.rate),
        "constant": np.full(backbone.rate, 0.7),
        "noise at -100 dB": 1e-5 * np.random.default_rng(0).standard_normal(backbone.rate),
    }[kind].astype(np.float32)
    found = backbone.features([sound], whole)
    assert len(found.windows) == (len(sound) > 0)
    assert not found.audible["embedding"].any() and not found.rows["embedding"].any()


@pytest.mark.parametrize("samples", [2, 10, 300, 5000])
@pytest.mark.parametrize("gain", [1.0, 1e6])
def test_short_and_hot_streams_have_finite_rows(backbone: Backbone, samples: int, gain: float) -> None:
    sound = (gain * np.sin(1.3 * np.arange(samples))).astype(np.float32)
    found = backbone.features([sound], whole)
    assert np.isfinite(found.rows["embedding"]).all() and found.audible["embedding"].all()


def test_the_version_follows_the_weights(backbone: Backbone, tmp_path: Path) -> None:
    values = tensors(backbone.name)
    save_file(values, tmp_path / "same.safetensors")
    name = next(key for key in values if key.endswith(("kernel", "0.0.weight")))
    save_file({**values, name: values[name] + 1e-3}, tmp_path / "other.safetensors")
    same, other = (
        plugins.load("backbones", backbone.name, weights=tmp_path / f"{file}.safetensors") for file in ("same", "other")
    )
    assert same.version == backbone.version != other.version


@pytest.mark.parametrize("damage", ["missing", "another shape", "nan", "cut", "absent"])
def test_wrong_weights_are_one_clear_line(backbone: Backbone, damage: str, tmp_path: Path) -> None:
    values, path = tensors(backbone.name), tmp_path / "weights.safetensors"
    name = next(key for key in values if key.endswith(("_1/kernel", "1.block.1.0.weight")))
    if damage == "missing":
        del values[name]
    elif damage == "another shape":
        values[name] = np.ones((3, *values[name].shape[1:]), np.float32)
    elif damage == "nan":
        values[name] = np.full_like(values[name], np.nan)
    save_file(values, path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "absent":
        path.unlink()
    with pytest.raises(ModelError, match=r"weights\.safetensors .*(again|give)") as caught:
        plugins.load("backbones", backbone.name, weights=path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_without_weights_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soundalike.backbones.musicnn.installed_package", lambda: None)
    for name in ("efficientat", "musicnn"):
        with pytest.raises(ModelError, match=f"soundalike models install {name}"):
            plugins.load("backbones", name)


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="efficientat runs in torch: pip install 'soundalike[mert]'")

    class Malicious:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return (Path.touch, (tmp_path / "ran",))

    for content in (Malicious(), [1, 2], {"epoch": 3}):
        torch.save(content, tmp_path / "net.pt")
        with pytest.raises(ModelError, match=r"net\.pt holds"):
            plugins.load("backbones", "efficientat", weights=tmp_path / "net.pt")
    assert not (tmp_path / "ran").exists()


def write_checkpoint(folder: Path, values: dict[str, np.ndarray]) -> None:
    """Write a bundle as TensorFlow does: names share beginnings, and the data follows the order of the names."""

    def varint(number: int) -> bytes:
        return bytes([number & 127 | 128]) + varint(number >> 7) if number > 127 else bytes([number])

    def block(entries: list[tuple[bytes, bytes]]) -> bytes:
        out, before = b"", b""
        for key, value in entries:
            shared = next((n for n, (a, b) in enumerate(zip(key, before, strict=False)) if a != b), 0)
            shared = shared if key[:shared] == before[:shared] else 0
            out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
            before = key
        return out + struct.pack("<II", 0, 1) + bytes(5)

    data, entries = b"", [(b"", b"\x08\x01")]
    for name, value in sorted(values.items()):
        dims = b"".join(b"\x12" + varint(1 + len(varint(n))) + b"\x08" + varint(n) for n in value.shape)
        shape = b"\x12" + varint(len(dims)) + dims
        place = b"\x20" + varint(len(data)) + b"\x28" + varint(value.nbytes) + b"\x35" + bytes(4)
        entries.append((name.encode(), b"\x08\x01" + shape + place))
        data += value.tobytes()
    first = block(entries)
    second = block([(b"z", varint(0) + varint(len(first) - 5))])
    handle = varint(0) + varint(0) + varint(len(first)) + varint(len(second) - 5)
    folder.mkdir(parents=True)
    (folder / ".index").write_bytes(first + second + handle.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57))
    (folder / ".data-00000-of-00001").write_bytes(data)


def test_checkpoints_are_read_from_folders_and_wheels(tmp_path: Path) -> None:
    values = tensors("musicnn")
    state = {"dense/kernel/Adam": np.ones((3, 2), np.float32), "beta1_power": np.ones((), np.float32)}
    write_checkpoint(tmp_path / "musicnn" / "MTT_musicnn", values | state)
    with zipfile.ZipFile(tmp_path / "musicnn.whl", "w") as wheel:
        for file in (tmp_path / "musicnn" / "MTT_musicnn").iterdir():
            wheel.write(file, f"musicnn/MTT_musicnn/{file.name}")
    for source in ("musicnn.whl", "musicnn", "musicnn/MTT_musicnn", "."):
        found = read_checkpoint(tmp_path / source)
        assert found.keys() == values.keys()
        assert all(np.array_equal(found[name], value) for name, value in values.items())
    convert(tmp_path / "musicnn.whl", tmp_path / "musicnn.safetensors")
    assert load_file(tmp_path / "musicnn.safetensors").keys() == values.keys()
    versions = {
        plugins.load("backbones", "musicnn", weights=tmp_path / one).version
        for one in ("musicnn", "musicnn.safetensors")
    }
    assert len(versions) == 1


@pytest.mark.parametrize("damage", ["no folder", "no table", "short data", "short index"])
def test_damaged_checkpoints_are_one_clear_line(damage: str, tmp_path: Path) -> None:
    folder = tmp_path / "MTT_musicnn"
    write_checkpoint(folder, {"dense/kernel": np.ones((30, 20), np.float32)})
    index, data = folder / ".index", folder / ".data-00000-of-00001"
    if damage == "no folder":
        index.unlink()
    elif damage == "no table":
        index.write_bytes(b"text" * 100)
    elif damage == "short data":
        data.write_bytes(data.read_bytes()[:-4])
    else:
        index.write_bytes(index.read_bytes()[8:])
    with pytest.raises(ModelError, match="pip install --no-deps musicnn"):
        read_checkpoint(folder)


def test_the_installed_package_is_found_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_checkpoint(tmp_path / "musicnn" / "MTT_musicnn", tensors("musicnn"))
    (tmp_path / "musicnn" / "__init__.py").write_text("raise SystemExit")
    (tmp_path / "musicnn-0.1.0.dist-info").mkdir()
    (tmp_path / "musicnn-0.1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: musicnn\nVersion: 0.1.0"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert installed_package() == tmp_path / "musicnn"
    assert plugins.load("backbones", "musicnn").dims == {"embedding": 200}


@pytest.mark.data
def test_real_weights_name_obvious_sounds(data: Path) -> None:
    pytest.importorskip("torch", reason="efficientat runs in torch: pip install 'soundalike[mert]'")
    from soundalike.backbones.weight_files import read_torch_tensors

    weights = data / "teachers" / "mn04_as_mAP_432.pt"
    backbone = plugins.load("backbones", "efficientat", weights=weights)
    values = {name: tensor.numpy() for name, tensor in read_torch_tensors(weights, "torch").items()}
    with (data / "teachers" / "audioset_labels.csv").open(newline="") as file:
        labels = [row["display_name"] for row in csv.DictReader(file)]
    for name, expected in (("80sRock.drum_set_S01_R01.1", "Drum kit"), ("Beatles.mix.7.5.0.96", "Music")):
        stream = MonoStream(data / "probes" / f"{name}.ogg", backbone.rate)
        row = stream.read(lambda blocks: backbone.features(blocks, whole)).rows["embedding"][0]
        hidden = values["classifier.2.weight"] @ row + values["classifier.2.bias"]
        hidden *= np.clip(hidden / 6 + 0.5, 0, 1)
        logits = values["classifier.5.weight"] @ hidden + values["classifier.5.bias"]
        assert labels[int(logits.argmax())] == expected
