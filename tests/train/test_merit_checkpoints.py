"""Head checkpoints in MERIT's format: real ones of torch are read, ours are read by torch, bad ones are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch makes and reads head checkpoints; pip install torch")

from soundalike.core.errors import ModelError, UsageError  # noqa: E402
from soundalike.train.heads.merit_checkpoints import OfficialHead, read_official_head, write_official_head  # noqa: E402

FACTS = {"encoder": "mert", "model_id": "m-a-p/MERT-v1-330M", "epoch": 17, "val_loss": 0.25, "val_acc": 0.875}


class Published(torch.nn.Module):
    """A head as MERIT's code has it."""

    def __init__(self, in_dim: int, hidden_dim: int, out_dim: int) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(
            torch.nn.Linear(in_dim, hidden_dim), torch.nn.ReLU(), torch.nn.Linear(hidden_dim, out_dim, bias=False)
        )


def published(sizes: tuple[int, int, int] = (24, 512, 128)) -> tuple[Published, dict[str, Any]]:
    torch.manual_seed(0)
    module = Published(*sizes)
    dims = dict(zip(("in_dim", "hidden_dim", "out_dim"), sizes, strict=True))
    return module, {"state_dict": module.state_dict(), **dims, **FACTS}


def saved(path: Path, body: object) -> Path:
    torch.save(body, path)
    return path


def test_a_published_head_is_read_and_does_what_it_did(tmp_path: Path) -> None:
    module, body = published()
    head = read_official_head(saved(tmp_path / "melody.pt", body))
    assert head.dims == (24, 512, 128)
    assert {name: getattr(head, name) for name in FACTS} == FACTS
    assert set(head.tensors) == {"hidden.weight", "hidden.bias", "out.weight"}
    assert {tensor.dtype for tensor in head.tensors.values()} == {np.dtype(np.float32)}
    features = np.random.default_rng(0).standard_normal((5, 24)).astype(np.float32)
    hidden = np.maximum(features @ head.tensors["hidden.weight"].T + head.tensors["hidden.bias"], 0)
    with torch.no_grad():
        expected = module.net(torch.from_numpy(features)).numpy()
    np.testing.assert_allclose(hidden @ head.tensors["out.weight"].T, expected, rtol=1e-4, atol=1e-6)


def test_our_heads_load_as_published_ones(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    tensors = {
        "hidden.weight": random.standard_normal((16, 7)).astype(np.float32),
        "hidden.bias": random.standard_normal(16).astype(np.float32),
        "out.weight": random.standard_normal((4, 16)).astype(np.float32),
    }
    path = tmp_path / "ours.pt"
    write_official_head(path, OfficialHead(tensors, "dsp", "soundalike/dsp", 3, 1.5, 0.5))
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
    Published(7, 16, 4).load_state_dict(body["state_dict"])  # strict: every name and shape
    again = read_official_head(path)
    assert (again.encoder, again.model_id, again.epoch) == ("dsp", "soundalike/dsp", 3)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(again.tensors[name], tensor)
    with pytest.raises(UsageError, match="cannot write"):
        write_official_head(tmp_path / "none" / "ours.pt", again)


def test_reading_and_writing_are_inverse(tmp_path: Path) -> None:
    _, body = published()
    head = read_official_head(saved(tmp_path / "a.pt", body))
    write_official_head(tmp_path / "b.pt", head)
    again = torch.load(tmp_path / "b.pt", weights_only=True)
    assert set(again) == set(body) and set(again["state_dict"]) == set(body["state_dict"])
    for name, tensor in body["state_dict"].items():
        assert torch.equal(again["state_dict"][name], tensor)
    assert {name: again[name] for name in FACTS} == FACTS


def test_half_precision_and_the_older_file_format_are_read(tmp_path: Path) -> None:
    _, body = published()
    half = {**body, "state_dict": {name: tensor.half() for name, tensor in body["state_dict"].items()}}
    head = read_official_head(saved(tmp_path / "half.pt", half))
    assert head.tensors["out.weight"].dtype == np.float32
    torch.save(body, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert read_official_head(tmp_path / "old.pt").dims == (24, 512, 128)


def refused(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        read_official_head(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message and len(message) < 300
    return message


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.99])
def test_a_file_that_is_cut_off_is_named(share: float, tmp_path: Path) -> None:
    data = saved(tmp_path / "whole.pt", published()[1]).read_bytes()
    (tmp_path / "cut.pt").write_bytes(data[: int(share * len(data))])
    assert "damaged, cut off" in refused(tmp_path / "cut.pt")


@pytest.mark.parametrize("data", [b"", b"RIFF....WAVE", b"<html>Not found</html>", b"\x80\x02}q\x00."], ids=repr)
def test_a_file_of_another_kind_is_named(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "other.pt").write_bytes(data)
    assert "is not a PyTorch checkpoint" in refused(tmp_path / "other.pt")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in refused(tmp_path / "none.pt")


def test_code_is_never_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (print, ("run",))

    assert "holds more than weights" in refused(saved(tmp_path / "trap.pt", {"state_dict": Trap()}))


@pytest.mark.parametrize("name", ["state_dict", "in_dim", "encoder", "val_acc"])
def test_a_missing_entry_is_named(name: str, tmp_path: Path) -> None:
    _, body = published()
    del body[name]
    assert f"it lacks {name}" in refused(saved(tmp_path / "head.pt", body))


def test_other_contents_are_named(tmp_path: Path) -> None:
    _, body = published()
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
        ({**body, "state_dict": {**weights, "net.2.bias": torch.zeros(128)}}, "holds net.2.bias"),
    ):
        assert words in refused(saved(tmp_path / "head.pt", wrong))


def test_other_sizes_are_named(tmp_path: Path) -> None:
    _, body = published()
    message = refused(saved(tmp_path / "head.pt", {**body, "in_dim": 25}))
    assert "net.0.weight has shape (512, 24), its in_dim, hidden_dim and out_dim say (512, 25)" in message
    odd = {**body["state_dict"], "net.2.weight": torch.zeros(128, 511)}
    assert "net.2.weight has shape (128, 511)" in refused(saved(tmp_path / "head.pt", {**body, "state_dict": odd}))
    odd = {**body["state_dict"], "net.0.bias": torch.full((512,), torch.nan)}
    assert "NaN or infinite" in refused(saved(tmp_path / "head.pt", {**body, "state_dict": odd}))
