"""The stages of the similarity of instruments: each learns, continues exactly after an interruption, and keeps what is
frozen.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy_songs import RANGES, TINY, toy_material

from soundalike.core.errors import UsageError

pytest.importorskip("torch", reason="instruments are trained with torch")
import torch

from soundalike.train.common import fit as fit_module
from soundalike.train.common.checkpoints import Epoch
from soundalike.train.metric.batches import DrawnTriplets, Sources, StemMixes
from soundalike.train.metric.direct import PretrainStage
from soundalike.train.metric.material import Material
from soundalike.train.metric.methods import METHODS
from soundalike.train.metric.spectra import magnitudes
from soundalike.train.metric.stages import STAGES, Workspace, find_stages, load_stage, train_stage

INSTRUMENTS = range(len(RANGES))
JOINT = [name for name, stage in STAGES.items() if stage.joint]
FROZEN = ["cascade", "cascade_normal"]


def instruments_of(stage: str) -> list[int | None]:
    return [None] if STAGES[stage].joint else list(INSTRUMENTS)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return toy_material(tmp_path_factory.mktemp("songs"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, material: Material) -> Workspace:
    """All stages; of the second instrument alone where no other is needed."""
    workspace = Workspace(tmp_path_factory.mktemp("work"), TINY, material)
    for name in STAGES:
        for instrument in instruments_of(name) if name == "clean" or STAGES[name].joint else [1]:
            result = train_stage(STAGES[name], instrument, workspace)
            assert not result.found
            assert len(result.curve) == TINY.epochs
    return workspace


def tensors_of(workspace: Workspace, stage: str, instrument: int | None) -> dict[str, torch.Tensor]:
    return dict(load_stage(workspace.folder, workspace.settings, STAGES[stage], instrument).state_dict())


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=0, atol=0)


@pytest.mark.parametrize(
    "stage", [pytest.param(name, marks=[pytest.mark.slow] if name.endswith("normal") else []) for name in STAGES]
)
def test_an_interrupted_stage_gives_the_weights_of_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: Workspace, stage: str
) -> None:
    monkeypatch.setattr(fit_module, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    instrument = None if STAGES[stage].joint else 1
    again = Workspace(tmp_path / "work", TINY, trained.material)
    shutil.copytree(trained.folder, again.folder)
    again.path(stage, instrument).unlink()

    def stop(epoch: Epoch) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_stage(STAGES[stage], instrument, again, stop)
    assert not again.path(stage, instrument).exists()
    seen: list[int] = []
    result = train_stage(STAGES[stage], instrument, again, lambda epoch: seen.append(epoch.number))
    assert seen == [2]
    assert_equal(tensors_of(again, stage, instrument), tensors_of(trained, stage, instrument))
    assert sorted(again.folder.iterdir()) == sorted(again.folder / path.name for path in trained.folder.iterdir())
    found = train_stage(STAGES[stage], instrument, again)
    assert found.found
    assert found.curve == result.curve


@pytest.mark.parametrize("stage", FROZEN)
def test_separators_stay_frozen_while_extractors_learn(trained: Workspace, stage: str) -> None:
    cascade = load_stage(trained.folder, TINY, STAGES[stage], 1)
    assert_equal(dict(cascade.get_submodule("separator").state_dict()), tensors_of(trained, "separators", 1))


def test_fine_tuning_trains_both_parts(trained: Workspace) -> None:
    before, after = tensors_of(trained, "cascade", 1), tensors_of(trained, "cascade_ft", 1)
    for name in ("separator.encoder.layers.0.0.weight", "extractor.project.weight"):
        assert not torch.equal(before[name], after[name])


def test_clean_networks_are_the_same_after_pre_training(trained: Workspace) -> None:
    stage = STAGES["direct_pretrain"].build(trained, "direct_pretrain", 0)
    assert isinstance(stage, PretrainStage)
    batch = next(iter(stage.validation()))
    stage.train_mode()
    stage.measure(batch).loss.backward()
    assert stage.module.project.weight.grad is not None
    for number, network in enumerate(stage.clean.networks):
        assert_equal(dict(network.state_dict()), tensors_of(trained, "clean", number))


def test_the_aim_of_pre_training_is_clean_where_an_instrument_sounds_and_zero_elsewhere(trained: Workspace) -> None:
    stage = STAGES["direct_pretrain"].build(trained, "direct_pretrain", 0)
    assert isinstance(stage, PretrainStage)
    batch = next(iter(stage.validation()))
    aims = stage.aims(batch.stems, batch.present)
    assert batch.present.any(dim=1).all()
    assert not batch.present.all()
    for number, instrument in np.ndindex(*batch.present.shape):
        clean = load_stage(trained.folder, TINY, STAGES["clean"], instrument)
        with torch.no_grad():
            expected = clean(magnitudes(batch.stems[number, instrument][None], TINY.spectrum))[0]
        if not batch.present[number, instrument]:
            expected = torch.zeros_like(expected)
        torch.testing.assert_close(aims[number, instrument], expected, rtol=1e-4, atol=1e-5)


def test_a_stage_may_have_a_number_of_epochs_of_its_own(tmp_path: Path, material: Material) -> None:
    workspace = Workspace(tmp_path, replace(TINY, stage_epochs={"clean": TINY.epochs + 1}), material)
    assert len(train_stage(STAGES["clean"], 0, workspace).curve) == TINY.epochs + 1
    assert len(train_stage(STAGES["separators"], 0, workspace).curve) == TINY.epochs
    with pytest.raises(UsageError, match="epochs of clean are 0; expected at least 1"):
        replace(TINY, stage_epochs={"clean": 0})


def test_methods_name_their_stages_in_order() -> None:
    names = {method: [stage.name for stage in find_stages(method)] for method in METHODS}
    assert names["cascade-ft"] == ["separators", "cascade", "cascade_ft"]
    assert names["direct-reconst"] == ["clean", "direct_pretrain", "direct_reconst"]
    with pytest.raises(UsageError, match="unknown method cascaded; known: clean, cascade, cascade-ft, direct"):
        find_stages("cascaded")


def test_other_settings_songs_or_networks_are_refused(tmp_path: Path, trained: Workspace) -> None:
    wider = replace(TINY, network=replace(TINY.network, channels=(4, 8)))
    with pytest.raises(UsageError, match=r"clean.bass.safetensors is of another run: its network.channels is \[4, 6\]"):
        train_stage(STAGES["clean"], 0, Workspace(trained.folder, wider, trained.material))
    fewer = Material(trained.material.instruments, TINY.spectrum.rate, {**trained.material.songs, "train": ()})
    with pytest.raises(UsageError, match="its songs is"):
        train_stage(STAGES["clean"], 0, Workspace(trained.folder, TINY, fewer))
    other = Workspace(tmp_path, TINY, trained.material)
    shutil.copytree(trained.folder, other.folder, dirs_exist_ok=True)
    other.path("separators", 1).unlink()
    with pytest.raises(UsageError, match=r"separators.piano.safetensors cannot be read: .*; train it first"):
        train_stage(STAGES["cascade"], 1, other)
    train_stage(STAGES["separators"], 1, replace(other, settings=replace(TINY, seed=1)))
    with pytest.raises(UsageError, match="its weights of separators.piano is .*, expected"):
        train_stage(STAGES["cascade"], 1, other)


def test_validation_examples_are_fixed_and_training_examples_follow_from_the_generator(material: Material) -> None:
    segments = Workspace(Path(), TINY, material).segments
    for source in (
        DrawnTriplets(*segments, TINY, "pseudo", 0),
        DrawnTriplets(*segments, TINY, "fixed", None),
    ):
        one, two = (torch.cat([batch.inputs for batch in source.validation()], dim=1) for _ in range(2))
        assert one.shape == (3, TINY.validation, round(TINY.test_segment * TINY.spectrum.rate))
        assert torch.equal(one, two)
        first, second, third = (
            [batch.inputs for batch in source.batches(np.random.default_rng(seed), 2)] for seed in (1, 1, 2)
        )
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
        assert not torch.equal(first[0], third[0])
        assert not torch.equal(first[0], first[1])


def test_direct_repeats_its_fixed_triplets_and_augmentation_does_not(material: Material) -> None:
    segments = Workspace(Path(), TINY, material).segments
    fixed = DrawnTriplets(*segments, TINY, "fixed", None)
    count = 2 * len(RANGES) * TINY.fixed_triplets
    sounds = [
        triplet.numpy().tobytes()
        for batch in fixed.batches(np.random.default_rng(0), 2 * count // TINY.batch)
        for triplet in batch.inputs.transpose(0, 1)
    ]
    assert len(sounds) == 2 * count
    assert len(set(sounds)) == count  # each of them twice
    fresh = DrawnTriplets(*segments, TINY, "pseudo", None)
    sounds = [
        triplet.numpy().tobytes()
        for batch in fresh.batches(np.random.default_rng(0), 8)
        for triplet in batch.inputs.transpose(0, 1)
    ]
    assert len(set(sounds)) > 0.8 * len(sounds)


def test_triplets_hold_the_stems_of_their_targets(material: Material) -> None:
    """Each stem has the pitch of its instrument, and the mix contains it."""
    source = DrawnTriplets(*Workspace(Path(), TINY, material).segments, TINY, "pseudo", None, clean=True)
    batch = next(source.batches(np.random.default_rng(0), 1))
    assert batch.stems is not None
    spectra = np.abs(np.fft.rfft(batch.stems.numpy()))
    pitches = spectra.argmax(axis=-1) * TINY.spectrum.rate / batch.stems.shape[-1]
    for number, target in enumerate(batch.targets.tolist()):
        low, high = list(RANGES.values())[target]
        assert ((pitches[:, number] > low - 10) & (pitches[:, number] < high + 10)).all()
        assert pitches[0, number] == pytest.approx(pitches[1, number], abs=5)
    rest = np.abs(np.fft.rfft((batch.inputs - batch.stems).numpy()))
    loudest = spectra.argmax(axis=-1)[..., None]
    assert (np.take_along_axis(rest, loudest, -1) < np.take_along_axis(spectra, loudest, -1)).all()


def test_stems_can_be_the_inputs(material: Material) -> None:
    segments = Workspace(Path(), TINY, material).segments
    stems = DrawnTriplets(*segments, TINY, "normal", 2, inputs="stem")
    mixes = DrawnTriplets(*segments, TINY, "normal", 2, clean=True)
    one, two = (next(source.batches(np.random.default_rng(0), 1)) for source in (stems, mixes))
    assert two.stems is not None
    assert torch.equal(one.inputs, two.stems)
    assert one.targets.tolist() == [2] * TINY.batch
    with pytest.raises(ValueError, match="these triplets have no stems"):
        one.clean(torch.device("cpu"))


def test_mixes_and_sources_add_up(material: Material) -> None:
    segments = Workspace(Path(), TINY, material).segments
    mixes = next(StemMixes(*segments, TINY, 0).batches(np.random.default_rng(0), 1))
    sources = next(Sources(*segments, TINY).batches(np.random.default_rng(0), 1))
    assert mixes.mixes.shape == mixes.stems.shape == (TINY.batch, round(TINY.segment * TINY.spectrum.rate))
    assert sources.stems.shape == (TINY.batch, len(RANGES), mixes.stems.shape[1])
    assert sources.present.any(dim=1).all()
    assert (mixes.mixes - mixes.stems).abs().max() > 0.1  # the other instruments


def test_levels_of_stems_vary_in_all_batches(material: Material) -> None:
    """The toy songs are sines of one amplitude, so that levels tell the factors."""
    segments = Workspace(Path(), TINY, material).segments
    varied = replace(TINY, vary_levels=12.0)
    for settings, spread in ((TINY, 0.0), (varied, 4.0)):
        rng = np.random.default_rng(0)
        mixes = next(StemMixes(*segments, settings, 0).batches(rng, 1))
        sources = next(Sources(*segments, settings).batches(rng, 1))
        one = next(DrawnTriplets(*segments, settings, "pseudo", 0, clean=True).batches(rng, 1))
        fixed = next(DrawnTriplets(*segments, settings, "fixed", None, clean=True).batches(rng, 1))
        normal = next(DrawnTriplets(*segments, settings, "normal", 0, inputs="stem").batches(rng, 1))
        assert one.stems is not None and fixed.stems is not None
        stems = (mixes.stems, sources.stems.flatten(0, 1), one.stems.flatten(0, 1), fixed.stems.flatten(0, 1),
                 normal.inputs.flatten(0, 1))  # fmt: skip
        for sound in stems:
            levels = 20 * torch.log10(sound.abs().amax(dim=1))
            assert (levels.max() - levels.min() > spread) if spread else (levels.std() < 1.0)
    again = next(StemMixes(*segments, varied, 0).batches(np.random.default_rng(0), 1))
    assert torch.equal(again.mixes, next(StemMixes(*segments, varied, 0).batches(np.random.default_rng(0), 1)).mixes)


def test_too_few_songs_are_reported(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, TINY, toy_material(tmp_path, train=5, validation=3))
    with pytest.raises(UsageError, match="too few songs for triplets: bass is audible .* expected 4 different songs"):
        DrawnTriplets(*workspace.segments, TINY, "pseudo", 0)
    with pytest.raises(UsageError, match="too few songs"):
        Workspace(tmp_path, TINY, toy_material(tmp_path, validation=0)).segments  # noqa: B018


@pytest.mark.slow
def test_every_method_solves_a_toy_problem(tmp_path: Path) -> None:
    """Songs differ by the pitch of a sine per instrument; chance is a half of the triplets."""
    settings = replace(
        TINY, network=replace(TINY.network, channels=(6, 8, 12), dim=8), batch=16, epochs=12, steps_per_epoch=10,
        validation=64, fixed_triplets=64,
    )  # fmt: skip
    workspace = Workspace(tmp_path / "work", settings, toy_material(tmp_path, train=12, validation=8))
    for name, stage in STAGES.items():
        for instrument in instruments_of(name):
            curve = train_stage(stage, instrument, workspace).curve
            best = min(curve, key=lambda epoch: epoch.validation_loss)
            untuned = train_stage(STAGES[stage.needs[0]], instrument, workspace).curve if "ft" in name else curve
            assert min(epoch.train_loss for epoch in curve[1:]) < untuned[0].train_loss, (name, instrument)
            assert best.validation_accuracy > {"separators": 0.3, "direct_pretrain": 0.2}.get(name, 0.75), (
                name, instrument, curve,
            )  # fmt: skip
