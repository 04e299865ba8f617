"""The training loop of one stage: best and last weights, rates, early stop, frozen parts, interruption, checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from soundalike.core.errors import UsageError

pytest.importorskip("torch", reason="instruments are trained with torch")
import torch
from torch import Tensor, nn

from soundalike.train.common import fit as fit_module
from soundalike.train.common.checkpoints import Epoch
from soundalike.train.common.fit import Outcome, RateSteps, Schedule, Stage, fit
from soundalike.train.common.network_files import digest_network, identity_of, load_network, read_curve, save_network
from soundalike.train.metric.settings import SMALL

SETTINGS = replace(SMALL, steps_per_epoch=5, seed=3)
KILLED = Schedule(0.05, 6, rate_steps=RateSteps(factor=3.0, patience=1, lowest=0.001))


class Line(Stage[tuple[Tensor, Tensor]]):
    """Fit y = 3 x through two layers and dropout. The network has a part with running statistics, which can freeze."""

    def __init__(self, schedule: Schedule, *, frozen: bool = False, noise: float = 0.0) -> None:
        module = nn.Sequential()
        module.add_module("first", nn.Sequential(nn.Linear(1, 8), nn.BatchNorm1d(8)))
        module.add_module("second", nn.Sequential(nn.Dropout(0.1), nn.Linear(8, 1)))
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
        super().__init__("line", module, schedule, frozen=["first"] if frozen else [])
        self.noise = noise

    def batches(self, random: np.random.Generator, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
        for _ in range(steps):
            x = torch.from_numpy(random.uniform(-1, 1, (16, 1))).float()
            yield x, 3 * x + self.noise * torch.from_numpy(random.normal(size=(16, 1))).float()

    def validation(self) -> Iterator[tuple[Tensor, Tensor]]:
        x = torch.linspace(-1, 1, 9)[:, None]
        yield from [(x[:4], 3 * x[:4]), (x[4:], 3 * x[4:])]

    def measure(self, batch: tuple[Tensor, Tensor]) -> Outcome:
        loss = (self.module(batch[0]) - batch[1]).square().mean()
        return Outcome(loss, torch.exp(-loss.detach()))

    def size(self, batch: tuple[Tensor, Tensor]) -> int:
        return len(batch[0])


def state_of(stage: Stage[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in stage.module.state_dict().items()}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_training_lowers_the_loss_and_keeps_the_best_weights() -> None:
    stage = Line(Schedule(0.05, 12))
    curve = fit(stage, SETTINGS)
    assert [epoch.number for epoch in curve] == list(range(1, 13))
    assert curve[-1].train_loss < curve[0].train_loss / 4
    kept = sum(stage.measure(batch).loss.item() * len(batch[0]) for batch in stage.validation()) / 9
    assert kept == pytest.approx(min(epoch.validation_loss for epoch in curve))
    assert not stage.module.training


@pytest.mark.parametrize("repeats", [1, 3])
def test_an_epoch_repeats_the_batches_of_the_settings(repeats: int) -> None:
    stage = Line(Schedule(0.05, 1, repeats=repeats))
    fit(stage, SETTINGS)
    assert stage.module.first[1].num_batches_tracked == 5 * repeats


def test_the_rate_falls_after_epochs_without_a_lower_loss() -> None:
    schedule = Schedule(1.0, 99, rate_steps=RateSteps(factor=4.0, patience=2, lowest=0.05))
    losses = [5.0, 4.0, 4.0, 3.0, 3.0, 3.5, 4.0, 2.0, 9.0, 9.0, 9.0, 9.0]
    rates = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.25, 0.25, 0.25, 0.25, 0.0625, 0.0625, 0.05]
    curve = [Epoch(number, 0.0, loss, 0.5) for number, loss in enumerate(losses, start=1)]
    assert [schedule.rate_after(curve[:count]) for count in range(len(losses) + 1)] == rates
    assert Schedule(1.0, 99).rate_after(curve) == 1.0


def test_training_uses_the_rate_that_fell() -> None:
    stage = Line(Schedule(0.5, 12, rate_steps=RateSteps(factor=1e9, patience=1, lowest=0.0), last=True), noise=20.0)
    curve = fit(stage, SETTINGS)
    losses = [epoch.validation_loss for epoch in curve]
    fell = next(number for number in range(1, 12) if losses[number] >= losses[number - 1])
    assert fell < 10
    held = Line(Schedule(0.5, fell + 1, last=True), noise=20.0)
    fit(held, SETTINGS)
    trained, other = state_of(stage), state_of(held)
    for name in ("first.0.weight", "second.1.weight"):  # the running statistics go on
        torch.testing.assert_close(trained[name], other[name], rtol=0, atol=1e-7)


def test_the_last_weights_are_kept_on_request() -> None:
    stage = Line(Schedule(0.5, 6, last=True), noise=20.0)  # a rate and noise at which the loss does not only fall
    curve = fit(stage, SETTINGS)
    kept = sum(stage.measure(batch).loss.item() * len(batch[0]) for batch in stage.validation()) / 9
    assert kept == pytest.approx(curve[-1].validation_loss)
    assert kept > min(epoch.validation_loss for epoch in curve)


def test_training_stops_when_the_validation_loss_no_longer_falls() -> None:
    curve = fit(Line(Schedule(0.5, 60, patience=3), noise=20.0), SETTINGS)
    losses = [epoch.validation_loss for epoch in curve]
    assert len(curve) < 60
    assert len(losses) - 1 - int(np.argmin(losses)) == 3


@pytest.mark.parametrize("stopped", [1, 2, 5])
def test_a_run_that_was_killed_gives_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: int
) -> None:
    monkeypatch.setattr(fit_module, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    whole = Line(KILLED, noise=1.0)
    curve = fit(whole, SETTINGS)

    class Killed(Exception):
        pass

    class Interrupted(Line):
        """A stage that is killed in the middle of an epoch."""

        steps = 0

        def measure(self, batch: tuple[Tensor, Tensor]) -> Outcome:
            self.steps += self.module.training
            if self.steps > 5 * stopped + 2:
                raise Killed
            return super().measure(batch)

    with pytest.raises(Killed):
        fit(Interrupted(KILLED, noise=1.0), SETTINGS, checkpoint=tmp_path / "run")
    resumed = Line(KILLED, noise=1.0)
    assert fit(resumed, SETTINGS, checkpoint=tmp_path / "run") == curve
    assert equal(state_of(resumed), state_of(whole))
    assert fit(Line(KILLED, noise=1.0), SETTINGS, checkpoint=tmp_path / "run") == curve  # nothing left to do


def test_frozen_parts_stay_bit_for_bit_as_they_are() -> None:
    stage = Line(Schedule(0.05, 3), frozen=True)
    before = state_of(stage)
    fit(stage, SETTINGS)
    after = state_of(stage)
    assert equal(
        {name: tensor for name, tensor in before.items() if name.startswith("first")},
        {name: tensor for name, tensor in after.items() if name.startswith("first")},
    )
    assert not torch.equal(before["second.1.weight"], after["second.1.weight"])


def test_a_checkpoint_of_another_run_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "run"
    fit(Line(Schedule(0.05, 1)), SETTINGS, checkpoint=path, identity={"batch": 4})
    with pytest.raises(UsageError, match=r"run is of another run: its batch is 4, expected 8; delete it") as raised:
        fit(Line(Schedule(0.05, 2)), SETTINGS, checkpoint=path, identity={"batch": 8})
    assert "\n" not in str(raised.value)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UsageError, match="is not a checkpoint, or truncated"):
        fit(Line(Schedule(0.05, 2)), SETTINGS, checkpoint=path, identity={"batch": 4})


def test_a_loss_that_is_not_finite_is_reported() -> None:
    with pytest.raises(UsageError, match="training diverged in epoch 1"):
        fit(Line(Schedule(0.05, 2), noise=float("inf")), SETTINGS)


def test_an_unknown_device_is_reported() -> None:
    with pytest.raises(UsageError, match="no device 'quantum' here"):
        fit(Line(Schedule(0.05, 1)), replace(SETTINGS, device="quantum"))


def test_a_network_is_read_back_with_its_curve(tmp_path: Path) -> None:
    path, curve = tmp_path / "line.safetensors", (Epoch(1, 0.5, 0.25, 0.75),)
    save_network(path, Line(Schedule(0.1, 1)).module, identity_of(SMALL), curve)
    other = nn.Sequential()
    other.add_module("first", nn.Sequential(nn.Linear(1, 8), nn.BatchNorm1d(8)))
    other.add_module("second", nn.Sequential(nn.Dropout(0.1), nn.Linear(8, 1)))
    assert load_network(path, other, identity_of(replace(SMALL, device="cuda"))) == curve == read_curve(path)
    assert equal(dict(other.state_dict()), state_of(Line(Schedule(0.1, 1))))
    save_network(tmp_path / "again.safetensors", other, {}, ())
    assert digest_network(path) == digest_network(tmp_path / "again.safetensors")


def test_networks_that_do_not_fit_are_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "line.safetensors"
    save_network(path, nn.Linear(3, 4), identity_of(SMALL), ())
    with pytest.raises(UsageError, match=r"its network.dim is 32, expected 16"):
        load_network(path, nn.Linear(3, 4), identity_of(replace(SMALL, network=replace(SMALL.network, dim=16))))
    with pytest.raises(UsageError, match=r"another size: its weight is \(4, 3\), expected \(5, 3\)"):
        load_network(path, nn.Linear(3, 5))
    with pytest.raises(UsageError, match="another size: its bias is missing"):
        save_network(path, nn.Linear(3, 4, bias=False), {}, ())
        load_network(path, nn.Linear(3, 4))
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(UsageError, match="is not a network, or truncated"):
        load_network(path, nn.Linear(3, 4))
    with pytest.raises(UsageError, match="cannot be read"):
        load_network(tmp_path / "missing.safetensors", nn.Linear(3, 4))
