"""Epochs of training against those of MERIT's own trainer. The README of the fixtures says how they were made."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from soundalike.core.errors import UsageError
from soundalike.train.data.sampling import TripletSet
from soundalike.train.heads.settings import HeadSettings

torch = pytest.importorskip("torch", reason="training needs torch")
from soundalike.train.common import losses  # noqa: E402
from soundalike.train.heads import trainer  # noqa: E402
from soundalike.train.heads.trainer import train_head, train_joint  # noqa: E402

OFFICIAL = dict(np.load(Path(__file__).parent / "fixtures" / "merit_training.npz"))
SETTINGS = HeadSettings(sampling="merit", scaling="none", seed=42, hidden=32, out=16, batch=64)
NAMES = {"hidden.weight": "net.0.weight", "hidden.bias": "net.0.bias", "out.weight": "net.2.weight"}


def official_split() -> tuple[TripletSet, TripletSet]:
    """Training and validation folders, shuffled as MERIT's trainer does."""
    folders = list(OFFICIAL["folders"])
    random.Random(42).shuffle(folders)
    return TripletSet(np.array(folders[4:])), TripletSet(np.array(folders[:4]))


@pytest.mark.parametrize("epochs", [1, 3])
def test_training_equals_that_of_merits_code(epochs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[float] = []
    circle_merit = losses.circle_merit

    def recorded(sp: torch.Tensor, sn: torch.Tensor) -> torch.Tensor:
        loss = circle_merit(sp, sn)
        found.append(loss.item())
        return loss

    monkeypatch.setattr(losses, "circle_merit", recorded)
    train, validation = official_split()
    trained = train_head(OFFICIAL["features"], train, validation, replace(SETTINGS, epochs=epochs))
    np.testing.assert_allclose(found, OFFICIAL[f"losses.{epochs}"], rtol=1e-5)  # batch for batch
    for ours, theirs in NAMES.items():
        np.testing.assert_allclose(trained.tensors[ours], OFFICIAL[f"{theirs}.{epochs}"], atol=1e-5)
    assert trained.best_epoch == OFFICIAL[f"best.{epochs}"]
    # MERIT's code reports the mean over batches; ours is the mean over triplets.
    for epoch, (train_loss, validation_loss, _, accuracy) in zip(
        trained.curves, OFFICIAL[f"history.{epochs}"], strict=True
    ):
        assert epoch.train_loss * 294 / 5 == pytest.approx(train_loss, rel=1e-5)
        assert epoch.validation_loss * 36 / 1 == pytest.approx(validation_loss, rel=1e-5)
        assert epoch.validation_accuracy == pytest.approx(accuracy, abs=1e-6)


@pytest.mark.parametrize("change", [{"sampling": "triplets"}, {"scaling": "standard"}, {"seed": 43}])
def test_every_published_setting_matters(change: dict[str, object]) -> None:
    train, validation = official_split()
    trained = train_head(OFFICIAL["features"], train, validation, replace(SETTINGS, epochs=1, **change))
    assert np.abs(trained.tensors["out.weight"] - OFFICIAL["net.2.weight.1"]).max() > 1e-3


def test_a_continued_run_takes_the_same_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    train, validation = official_split()

    def interrupt(epoch: trainer.Epoch) -> None:
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train_head(
                OFFICIAL["features"],
                train,
                validation,
                replace(SETTINGS, epochs=3),
                checkpoint=tmp_path / "head.safetensors",
                progress=interrupt,
            )
    trained = train_head(
        OFFICIAL["features"],
        train,
        validation,
        replace(SETTINGS, epochs=3),
        checkpoint=tmp_path / "head.safetensors",
    )
    np.testing.assert_allclose(trained.tensors["out.weight"], OFFICIAL["net.2.weight.3"], atol=1e-5)


def test_a_joint_head_has_no_published_order() -> None:
    with pytest.raises(UsageError, match="the sampling merit is for one head per factor"):
        train_joint(OFFICIAL["features"], (12, 12), {"melody": official_split()}, SETTINGS)
