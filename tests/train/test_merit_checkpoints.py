"""Head checkpoints in MERIT's format: reading, writing and error messages."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch makes and reads head checkpoints; pip install torch")

from soundalike.core.errors import ModelError, UsageError  # noqa: E402
from soundalike.train.heads.merit_checkpoints import MeritHead, read_merit_head, write_merit_head  # noqa: E402

METADATA = {"encoder": "mert", "model_id": "m-a-p/MERT-v1-330M", "epoch": 17, "val_loss": 0.25, "val_acc": 0.875}


class PublishedHead(torch.nn.Module):
    """A head as in MERIT's code."""

    def __init__(self, in_dim: int, hidden_dim: int, out_dim: int) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(
            torch.nn.Linear(in_dim, hidden_dim), torch.nn.ReLU(), torch.nn.Linear(hidden_dim, out_dim, bias=False)
        )


def make_published(sizes: tuple[int, int, int] = (24, 512, 128)) -> tuple[PublishedHead, dict[str, Any]]:
    torch.manual_seed(0)
    module = PublishedHead(*sizes)
    dims = dict(zip(("in_dim", "hidden_dim", "out_dim"), sizes, strict=True))
    return module, {"state_dict": module.state_dict(), **dims, **METADATA}


def save(path: Path, body: object) -> Path:
    torch.save(body, path)
    return path


def test_published_head_gives_the_same_output(tmp_path: Path) -> None:
    module, body = make_published()
    head = read_merit_head(save(tmp_path / "melody.pt", body))
    assert head.dims == (24, 512, 128)
    assert {name: getattr(head, name) for name in METADATA} == METADATA
    assert set(head.tensors) == {"hidden.weight", "hidden.bias", "out.weight"}
    assert {tensor.dtype for tensor in head.tensors.values()} == {np.dtype(np.float32)}
    features = np.random.default_rng(0).standard_normal((5, 24)).astype(np.float32)
    hidden = np.maximum(features @ head.tensors["hidden.weight"].T + head.tensors["hidden.bias"], 0)
    with torch.no_grad():
        expected = module.net(torch.from_numpy(features)).numpy()
    np.testing.assert_allclose(hidden @ head.tensors["out.weight"].T, expected, rtol=1e-4, atol=1e-6)


def test_written_head_loads_in_merits_code(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    tensors = {
        "hidden.weight": random.standard_normal((16, 7)).astype(np.float32),
        "hidden.bias": random.standard_normal(16).astype(np.float32),
        "out.weight": random.standard_normal((4, 16)).astype(np.float32),
    }
    path = tmp_path / "ours.pt"
    write_merit_head(path, MeritHead(tensors, "dsp", "soundalike/dsp", 3, 1.5, 0.5))
    body = torch.load(path, weights_only=True)
    assert {name: value for name, value in body.items() if name != "state_dict"} == {
        "in_dim": 7,
        "hidden_dim": 16,
        "out_dim": 4,
        "encoder": "dsp",
        "model_id": "soundalike/dsp",
        "epoch": 3,
        "val_loss": 1.5,
        "val_acc": 0.5,
    }
    PublishedHead(7, 16, 4).load_state_dict(body["state_dict"])  # strict: every name and shape
    reread = read_merit_head(path)
    assert (reread.encoder, reread.model_id, reread.epoch) == ("dsp", "soundalike/dsp", 3)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(reread.tensors[name], tensor)
    with pytest.raises(UsageError, match="cannot write"):
        write_merit_head(tmp_path / "none" / "ours.pt", reread)


def test_reading_and_writing_are_inverse(tmp_path: Path) -> None:
    _, body = make_published()
    head = read_merit_head(save(tmp_path / "a.pt", body))
    write_merit_head(tmp_path / "b.pt", head)
    rewritten = torch.load(tmp_path / "b.pt", weights_only=True)
    assert set(rewritten) == set(body) and set(rewritten["state_dict"]) == set(body["state_dict"])
    for name, tensor in body["state_dict"].items():
        assert torch.equal(rewritten["state_dict"][name], tensor)
    assert {name: rewritten[name] for name in METADATA} == METADATA


def test_half_precision_and_the_old_file_format_are_read(tmp_path: Path) -> None:
    _, body = make_published()
    half = {**body, "state_dict": {name: tensor.half() for name, tensor in body["state_dict"].items()}}
    head = read_merit_head(save(tmp_path / "half.pt", half))
    assert head.tensors["out.weight"].dtype == np.float32
    torch.save(body, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert read_merit_head(tmp_path / "old.pt").dims == (24, 512, 128)


def read_error(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        read_merit_head(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message and len(message) < 300
    return message


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.99])
def test_truncated_file(share: float, tmp_path: Path) -> None:
    data = save(tmp_path / "complete.pt", make_published()[1]).read_bytes()
    (tmp_path / "cut.pt").write_bytes(data[: int(share * len(data))])
    assert "is invalid or truncated" in read_error(tmp_path / "cut.pt")


@pytest.mark.parametrize("data", [b"", b"RIFF....WAVE", b"<html>Not found</html>", b"\x80\x02}q\x00."], ids=repr)
def test_file_of_another_kind(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "other.pt").write_bytes(data)
    assert "is not a PyTorch checkpoint" in read_error(tmp_path / "other.pt")


def test_missing_file(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in read_error(tmp_path / "none.pt")


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (print, ("run",))

    assert "holds more than weights" in read_error(save(tmp_path / "trap.pt", {"state_dict": Trap()}))
    (tmp_path / "pickle.pt").write_bytes(pickle.dumps(Trap()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch warns about its protocol
        assert "is not a PyTorch checkpoint, or holds more" in read_error(tmp_path / "pickle.pt")


@pytest.mark.parametrize("name", ["state_dict", "in_dim", "encoder", "val_acc"])
def test_missing_entry(name: str, tmp_path: Path) -> None:
    _, body = make_published()
    del body[name]
    assert f"it lacks {name}" in read_error(save(tmp_path / "head.pt", body))


def test_invalid_contents(tmp_path: Path) -> None:
    _, body = make_published()
    weights = body["state_dict"]
    for wrong, words in (
        ([1, 2], "is not a head checkpoint"),
        (torch.zeros(3), "is not a head checkpoint"),
        ({**body, "state_dict": torch.zeros(3)}, "is not a head checkpoint"),
        (weights, "it lacks state_dict"),
        ({**body, "state_dict": 5}, "is not a head checkpoint"),
        ({**body, "epoch": "last"}, "is not a head checkpoint"),
        ({**body, "in_dim": None}, "is not a head checkpoint"),
        ({**body, "state_dict": {**weights, "net.0.weight": "none"}}, "is not a head checkpoint"),
        ({**body, "state_dict": {"net.0.weight": weights["net.0.weight"]}}, "it lacks net.0.bias"),
        ({**body, "state_dict": {**weights, "net.2.bias": torch.zeros(128)}}, "has the unexpected tensor net.2.bias"),
    ):
        assert words in read_error(save(tmp_path / "head.pt", wrong))


def test_wrong_sizes_and_values(tmp_path: Path) -> None:
    _, body = make_published()
    message = read_error(save(tmp_path / "head.pt", {**body, "in_dim": 25}))
    assert "net.0.weight has shape (512, 24), expected (512, 25) by its in_dim, hidden_dim and out_dim" in message
    odd = {**body["state_dict"], "net.2.weight": torch.zeros(128, 511)}
    assert "net.2.weight has shape (128, 511)" in read_error(save(tmp_path / "head.pt", {**body, "state_dict": odd}))
    odd = {**body["state_dict"], "net.0.bias": torch.full((512,), torch.nan)}
    assert "NaN or infinite" in read_error(save(tmp_path / "head.pt", {**body, "state_dict": odd}))
