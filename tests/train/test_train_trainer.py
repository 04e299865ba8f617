"""Training heads on small synthetic folders: learning, folding, continuing from checkpoints, and stopping."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from soundalike.core.errors import UsageError
from soundalike.models.heads import MlpHead
from soundalike.models.joint_head import JointShape, load_joint
from soundalike.train.data.sampling import TripletSet
from soundalike.train.heads.settings import LOSSES, HeadSettings

torch = pytest.importorskip("torch", reason="training needs torch")
from soundalike.train.heads import trainer  # noqa: E402
from soundalike.train.heads.joint import JointNetwork, fold_joint  # noqa: E402
from soundalike.train.heads.trainer import TrainedHead, train_head, train_joint  # noqa: E402

DIMS = 24
QUICK = HeadSettings(hidden=32, out=16, batch=100, epochs=8, lr=1e-2)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Use one thread: for such small matrices a second one costs more than it saves."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_data(folders: int = 60, seed: int = 0, k: int = 3) -> tuple[np.ndarray, TripletSet, TripletSet]:
    """Return features of any scale with 6 latent dims that a folder shares, noise in all, and a constant column."""
    random = np.random.default_rng(seed)
    codes = random.standard_normal((folders, k + 3, 6))
    codes[:, : k + 1] = codes[:, :1]
    rows = codes.reshape(-1, 6) @ np.random.default_rng(99).standard_normal((6, DIMS))
    rows = 50 + 3 * (rows + 0.7 * random.standard_normal(rows.shape)) * np.linspace(0.1, 10, DIMS)
    rows[:, 5] = 7.0
    table = np.arange(len(rows)).reshape(folders, k + 3)
    return rows.astype(np.float32), TripletSet(table[: folders * 2 // 3]), TripletSet(table[folders * 2 // 3 :])


def project(trained: TrainedHead, rows: np.ndarray) -> np.ndarray:
    head = MlpHead(*(trained.tensors[name] for name in ("hidden.weight", "hidden.bias", "out.weight")))
    return head(rows, np.ones(len(rows), np.bool_))


def accuracy(trained: TrainedHead, rows: np.ndarray, folders: TripletSet) -> float:
    anchor, positive, negative = project(trained, rows)[folders.expand("both").rows].transpose(1, 0, 2)
    return float(np.mean((anchor * positive).sum(axis=1) > (anchor * negative).sum(axis=1)))


def equal_bits(left: TrainedHead, right: TrainedHead) -> bool:
    return left.curves == right.curves and all(
        left.tensors[name].tobytes() == right.tensors[name].tobytes() for name in left.tensors
    )


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("negatives", ["neutral", "adversarial", "both", "in-batch"])
def test_every_loss_learns_what_folders_share(loss: str, negatives: str) -> None:
    rows, train, validation = make_data(90)
    trained = train_head(rows, train, validation, replace(QUICK, loss=loss, negatives=negatives))
    assert accuracy(trained, rows, validation) > 0.95
    assert trained.curves[-1].train_loss < trained.curves[0].train_loss
    assert [epoch.number for epoch in trained.curves] == list(range(1, 9))


@pytest.mark.parametrize("settings", [replace(QUICK, sampling="triplets"), replace(QUICK, bf16=True, dropout=0.2)])
def test_shuffled_triplets_and_bfloat16_learn_as_well(settings: HeadSettings) -> None:
    rows, train, validation = make_data(90)
    assert accuracy(train_head(rows, train, validation, settings), rows, validation) > 0.95


def test_result_is_the_head_of_the_best_epoch() -> None:
    rows, train, validation = make_data()
    trained = train_head(rows, train, validation, replace(QUICK, negatives="both", epochs=12))
    losses = [epoch.validation_loss for epoch in trained.curves]
    assert trained.best_epoch == 1 + int(np.argmin(losses)) < 12  # it overfits, so the last epoch is not the best
    reported = trained.curves[trained.best_epoch - 1].validation_accuracy
    assert accuracy(trained, rows, validation) == pytest.approx(reported, abs=1e-6)


def test_one_step_equals_that_of_a_plain_loop() -> None:
    """With one batch per epoch, projecting shared rows once gives the same step as projecting every triplet."""
    rows, train, validation = make_data(20)
    settings = replace(QUICK, batch=10_000, epochs=2, lr=1e-3, lr_end=1e-3)
    trained = train_head(rows, train, validation, settings)
    triplets = train.expand("neutral").rows
    used = rows[np.unique(triplets)].astype(np.float64)
    mean, deviation = used.mean(axis=0), used.std(axis=0)
    deviation[5] = np.inf
    x = torch.tensor((rows - mean) / deviation, dtype=torch.float32)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        head = torch.nn.Sequential(torch.nn.Linear(DIMS, 32), torch.nn.ReLU(), torch.nn.Linear(32, 16, bias=False))
    optimizer = torch.optim.AdamW(head.parameters(), 1e-3, weight_decay=1e-4)
    for epoch in trained.curves:
        anchor, positive, negative = (torch.nn.functional.normalize(head(x[part]), dim=1) for part in triplets.T)
        sp, sn = (anchor * positive).sum(dim=1), (anchor * negative).sum(dim=1)
        alpha_p, alpha_n = (0.8 - sp).clamp(min=0).detach(), (sn - 0.2).clamp(min=0).detach()
        loss = torch.nn.functional.softplus(10 * (alpha_n * (sn - 0.2) + alpha_p * (0.8 - sp))).sum()
        assert epoch.train_loss == pytest.approx(loss.item() / len(triplets), rel=1e-4)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert trained.best_epoch == 2
    np.testing.assert_allclose(trained.tensors["out.weight"], head[2].weight.detach(), atol=1e-5)
    with torch.no_grad():
        expected = torch.nn.functional.normalize(head(x), dim=1)
    np.testing.assert_allclose(project(trained, rows), expected, atol=1e-4)  # the result takes raw features


def test_learning_rate_follows_a_cosine_per_step(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    step = torch.optim.AdamW.step

    def recorded_step(self: torch.optim.AdamW) -> None:
        rates.append(self.param_groups[0]["lr"])
        step(self)

    monkeypatch.setattr(torch.optim.AdamW, "step", recorded_step)
    rows, train, validation = make_data()
    train_head(rows, train, validation, replace(QUICK, epochs=3, lr=1e-3, lr_end=1e-5))
    steps = np.arange(len(rates))
    assert len(rates) == 3 * -(-40 // 11)  # 40 folders of 9 triplets, 11 folders per batch
    np.testing.assert_allclose(rates, 1e-5 + (1e-3 - 1e-5) * (1 + np.cos(np.pi * steps / len(rates))) / 2)


def test_standardisation_is_folded_into_the_head() -> None:
    rows, train, validation = make_data()
    trained = train_head(rows, train, validation, QUICK)
    used = rows[np.unique(train.expand("neutral").rows)].astype(np.float64)
    np.testing.assert_allclose(trained.spread, used.std(axis=0), rtol=1e-5)
    assert not trained.tensors["hidden.weight"][:, 5].any()  # a column that is constant in training is ignored
    moved = rows.copy()
    moved[:, 5] += 1000
    assert accuracy(trained, moved, validation) == accuracy(trained, rows, validation)


def test_seed_determines_the_result_and_generators_are_restored() -> None:
    rows, train, validation = make_data()
    settings = replace(QUICK, dropout=0.3, epochs=3)
    torch.manual_seed(5)
    first = train_head(rows, train, validation, settings)
    after = torch.rand(3)
    torch.manual_seed(5)
    torch.testing.assert_close(torch.rand(3), after)
    assert equal_bits(first, train_head(rows, train, validation, settings))
    assert not equal_bits(first, train_head(rows, train, validation, replace(settings, seed=1)))


def test_rows_outside_all_triplets_have_no_effect() -> None:
    rows, train, validation = make_data()
    settings = replace(QUICK, epochs=2)
    padded = np.concatenate([np.full((7, DIMS), np.nan, np.float32), rows])
    moved = (TripletSet(part.folders + 7) for part in (train, validation))
    assert equal_bits(train_head(rows, train, validation, settings), train_head(padded, *moved, settings))


def test_training_stops_after_patience() -> None:
    rows, train, validation = make_data()
    trained = train_head(rows, train, validation, replace(QUICK, epochs=60, patience=3))
    assert len(trained.curves) == trained.best_epoch + 3 < 60


# Continuing ---------------------------------------------------------------------------------------------------------


class Interrupted(Exception):
    pass


def interrupt_after(number: int, path: Path, settings: HeadSettings) -> None:
    rows, train, validation = make_data()

    def progress(epoch: trainer.Epoch) -> None:
        if epoch.number == number:
            raise Interrupted

    with pytest.raises(Interrupted):
        train_head(rows, train, validation, settings, checkpoint=path, progress=progress)


@pytest.mark.parametrize("settings", [replace(QUICK, dropout=0.3), replace(QUICK, negatives="in-batch", patience=4)])
def test_continued_run_gives_the_same_bits(
    settings: HeadSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, train, validation = make_data()
    uninterrupted = train_head(rows, train, validation, settings)
    monkeypatch.setattr(trainer, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    path = tmp_path / "head.checkpoint"
    interrupt_after(2, path, settings)
    interrupt_after(5, path, settings)  # a second interruption
    epochs: list[int] = []
    trained = train_head(
        rows, train, validation, settings, checkpoint=path, progress=lambda epoch: epochs.append(epoch.number)
    )
    assert equal_bits(trained, uninterrupted) and epochs == list(range(6, len(uninterrupted.curves) + 1))
    finished = train_head(rows, train, validation, settings, checkpoint=path, progress=lambda _: pytest.fail("trained"))
    assert equal_bits(finished, uninterrupted)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(trainer, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    interrupt_after(1, tmp_path / "head.checkpoint", QUICK)
    return tmp_path / "head.checkpoint"


def continue_error(path: Path, settings: HeadSettings = QUICK, *, dims: int = DIMS, seed: int = 0) -> str:
    rows, train, validation = make_data(seed=seed)
    with pytest.raises(UsageError) as caught:
        train_head(rows[:, :dims], train, validation, settings, checkpoint=path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


def test_checkpoint_of_another_run(checkpoint: Path) -> None:
    assert "its epochs is 8, expected 9; delete it" in continue_error(checkpoint, replace(QUICK, epochs=9))
    assert "its hidden is 32, expected 48" in continue_error(checkpoint, replace(QUICK, hidden=48))
    assert "its loss is circle-merit" in continue_error(checkpoint, replace(QUICK, loss="circle-sun"))
    assert "is of another run: its shapes" in continue_error(checkpoint, dims=DIMS - 1)
    assert "is of another run: its data" in continue_error(checkpoint, seed=1)


def test_unreadable_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    content = checkpoint.read_bytes()
    for length in (0, 5, 200, len(content) // 2, len(content) - 1):
        checkpoint.write_bytes(content[:length])
        assert "is not a checkpoint, or truncated" in continue_error(checkpoint)
    checkpoint.write_bytes(json.dumps({"not": "this"}).encode() * 50)
    assert "is not a checkpoint, or truncated" in continue_error(checkpoint)
    from safetensors.numpy import save_file

    save_file({"x": np.zeros(3)}, checkpoint)
    assert "is not a checkpoint of this version" in continue_error(checkpoint)
    assert "cannot be read" in continue_error(tmp_path)


# The joint head -----------------------------------------------------------------------------------------------------


def test_joint_network_has_the_documented_tensors() -> None:
    shape = JointShape((5, 3, 4), width=16, layers=3, attention_heads=2, out_dim=6, spaces=("melody", "rhythm"))
    state = JointNetwork(shape).state_dict()
    assert {f"joint.{name}": tuple(tensor.shape) for name, tensor in state.items()} == shape.tensors()


def test_joint_head_learns_every_factor_and_matches_inference() -> None:
    rows, train, validation = make_data(90)
    melody = (train, validation)
    rhythm = (TripletSet(train.folders[::3]), TripletSet(validation.folders[::2]))  # fewer folders: smaller batches
    settings = replace(QUICK, lr=3e-3, epochs=6)
    trained = train_joint(rows, (10, 14), {"melody": melody, "rhythm": rhythm}, settings)
    accuracies = []
    for space, (_, part) in (("melody", melody), ("rhythm", rhythm)):
        z = load_joint(space, trained.tensors, blocks=(10, 14), out_dim=16)(rows, np.ones(len(rows), np.bool_))
        anchor, positive, negative = z[part.expand("neutral").rows].transpose(1, 0, 2)
        accuracies.append(np.mean((anchor * positive).sum(axis=1) > (anchor * negative).sum(axis=1)))
    assert min(accuracies) > 0.95
    assert np.mean(accuracies) == pytest.approx(trained.curves[trained.best_epoch - 1].validation_accuracy, abs=2e-3)


def test_folded_joint_head_equals_the_network_on_standardised_features() -> None:
    shape = JointShape((10, 14), width=16, attention_heads=2, out_dim=8, spaces=("melody", "timbre"))
    rows, random = np.random.default_rng(0).standard_normal((9, 24)), np.random.default_rng(1)
    mean, deviation = random.standard_normal(24), random.uniform(0.5, 2, 24)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = JointNetwork(shape)
    folded = fold_joint(network.state_dict(), shape.blocks, mean, 1 / deviation)
    tensors = {name: tensor.astype(np.float32) for name, tensor in folded.items()}
    for space in shape.spaces:
        head = load_joint(space, tensors, blocks=shape.blocks, out_dim=8)
        with torch.no_grad():
            expected = torch.nn.functional.normalize(network(torch.tensor((rows - mean) / deviation).float(), space))
        np.testing.assert_allclose(head(rows.astype(np.float32), np.ones(9, np.bool_)), expected, atol=1e-5)


def test_continued_joint_run_gives_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, train, validation = make_data(30)
    run, settings = (rows, (10, 14), {"a": (train, validation)}), replace(QUICK, epochs=3)
    uninterrupted = train_joint(*run, settings)
    monkeypatch.setattr(trainer, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)

    def progress(epoch: trainer.Epoch) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        train_joint(*run, settings, checkpoint=tmp_path / "joint", progress=progress)
    assert equal_bits(train_joint(*run, settings, checkpoint=tmp_path / "joint"), uninterrupted)


# Errors -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "hinge"}, "unknown loss 'hinge'; known: circle-merit"),
        ({"negatives": "hard"}, "unknown negatives 'hard'"),
        ({"epochs": 0}, "epochs is 0; expected at least 1"),
        ({"patience": 0}, "patience is 0"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_invalid_settings(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(QUICK, **options)


def test_errors_of_training() -> None:
    rows, train, validation = make_data()
    with pytest.raises(UsageError, match="no device 'elsewhere' here"):
        train_head(rows, train, validation, replace(QUICK, device="elsewhere"))
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="no device 'cuda' here"):
            train_head(rows, train, validation, replace(QUICK, device="cuda"))
    with pytest.raises(UsageError, match="a batch of 9 triplets is one folder"):
        train_head(rows, train, validation, replace(QUICK, negatives="in-batch", batch=9))
    with pytest.raises(UsageError, match="training diverged in epoch"):
        train_head(rows, train, validation, replace(QUICK, lr=1e30))
    broken = rows.copy()
    broken[3, 3] = np.nan
    with pytest.raises(UsageError, match="NaN or infinite values"):
        train_head(broken, train, validation, QUICK)
    with pytest.raises(ValueError, match="expected \\(n, D\\)"):
        train_head(rows[:100], train, validation, QUICK)
    with pytest.raises(ValueError, match="blocks"):
        train_joint(rows, (10, 10), {"a": (train, validation)}, QUICK)
