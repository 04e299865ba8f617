"""Fine-tuning on judgements: what is trained, what stays frozen, and that a killed run gives the same weights."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy_songs import RANGES, RATE, TINY, toy_stems

from soundalike.core.errors import UsageError

pytest.importorskip("torch", reason="instruments are trained with torch")
import torch

from soundalike.train.common import fit as fit_module
from soundalike.train.common.checkpoints import Epoch
from soundalike.train.metric.material import Material
from soundalike.train.metric.paft import PAFTS, JudgedTriplets, load_paft, paft_path, train_paft
from soundalike.train.metric.pieces import open_piece, store_piece
from soundalike.train.metric.preferences import JudgedSegments, Place, Preference
from soundalike.train.metric.spectra import magnitudes
from soundalike.train.metric.stages import STAGES, Workspace, train_stage
from soundalike.train.metric.triplets import render

NAMES = tuple(RANGES)
SETTINGS = replace(TINY, paft_segment=0.3, paft_epochs=2)
CASCADES = ["cascade", "cascade-normal", "cascade-ft", "cascade-ft-normal"]


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = tmp_path_factory.mktemp("songs")
    random = np.random.default_rng(0)
    songs = {}
    for subset, count in (("train", 5), ("validation", 4), ("test", 6)):
        for number in range(count):
            store_piece(folder, f"{subset}{number}", toy_stems(random), RATE)
        names = [f"{subset}{number}" for number in range(count)]
        songs[subset] = tuple(open_piece(name, folder, name) for name in names)
    return Material(NAMES, RATE, songs)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, material: Material) -> Workspace:
    """The networks that fine-tuning starts from, of the second instrument where no other is needed."""
    space = Workspace(tmp_path_factory.mktemp("work"), replace(SETTINGS, epochs=1), material)
    for name in ("separators", "clean", "cascade", "cascade_ft", "direct_pretrain", "direct_da", "direct_reconst"):
        for instrument in [None] if STAGES[name].joint else range(3) if name == "clean" else [1]:
            train_stage(STAGES[name], instrument, space)
    return space


@pytest.fixture(scope="module")
def judged(material: Material) -> JudgedSegments:
    return JudgedSegments(material.songs["test"], material.songs["train"], NAMES, SETTINGS.paft_segment)


@pytest.fixture(scope="module")
def preferences() -> list[Preference]:
    """Listeners prefer songs with a lower number."""
    found = []
    for name in NAMES:
        for x in range(4):
            places = [Place(f"test{song}", 0.1 * (x + 1)) for song in (x, x + 1, 5)]
            found.append(Preference(name, "XAB", places[0], places[1], places[2], (8, 1)))
    return found


def tuned(
    space: Workspace, name: str, folder: Path, judged: JudgedSegments, preferences: list[Preference]
) -> Workspace:
    shutil.copytree(space.folder, folder)
    found = Workspace(folder, space.settings, space.material)
    result = train_paft(PAFTS[name], instrument_of(name), 1, found, judged, preferences)
    assert len(result.curve) == SETTINGS.paft_epochs and not result.found
    assert train_paft(PAFTS[name], instrument_of(name), 1, found, judged, preferences).found
    return found


def instrument_of(name: str) -> int | None:
    return None if PAFTS[name].joint else 1


@pytest.mark.parametrize(
    "name",
    [
        one
        if one in ("clean", "cascade", "cascade-paft", "direct-reconst")
        else pytest.param(one, marks=pytest.mark.slow)
        for one in PAFTS
    ],
)
def test_only_extractors_are_trained(
    name: str, tmp_path: Path, trained: Workspace, judged: JudgedSegments, preferences: list[Preference]
) -> None:
    space = tuned(trained, name, tmp_path / "work", judged, preferences)
    before = space.network(PAFTS[name].start, instrument_of(name)).state_dict()
    after = load_paft(space, PAFTS[name], 1, instrument_of(name)).state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed
    parts = {key.partition(".")[0] for key in changed}
    if name in CASCADES:
        assert parts == {"extractor"}
    elif name == "cascade-paft":
        assert parts == {"separator", "extractor"}
    else:
        assert parts == {"encoder", "project"}


@pytest.mark.parametrize(
    "name", ["clean", *(pytest.param(one, marks=pytest.mark.slow) for one in PAFTS if one != "clean")]
)
def test_a_killed_run_gives_the_same_weights(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trained: Workspace,
    judged: JudgedSegments,
    preferences: list[Preference],
) -> None:
    whole = tuned(trained, name, tmp_path / "whole", judged, preferences)
    monkeypatch.setattr(fit_module, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    shutil.copytree(trained.folder, tmp_path / "killed")
    killed = Workspace(tmp_path / "killed", trained.settings, trained.material)

    def stop(epoch: Epoch) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_paft(PAFTS[name], instrument_of(name), 1, killed, judged, preferences, progress=stop)
    assert not paft_path(killed.folder, PAFTS[name], SETTINGS, 1, instrument_of(name)).exists()
    train_paft(PAFTS[name], instrument_of(name), 1, killed, judged, preferences)
    expected = load_paft(whole, PAFTS[name], 1, instrument_of(name)).state_dict()
    found = load_paft(killed, PAFTS[name], 1, instrument_of(name)).state_dict()
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_triplets_are_heard_once_per_epoch_as_they_are_rendered(
    judged: JudgedSegments, preferences: list[Preference]
) -> None:
    triplets = judged.triplets(preferences, "pseudo", np.random.default_rng(0))
    mixtures, stems = render(triplets, judged.segments)
    for stem, expected in ((False, mixtures), (True, stems)):
        source = JudgedTriplets(triplets, judged.segments, 5, stem=stem)
        random = np.random.default_rng(4)
        order = np.random.default_rng(4).permutation(len(triplets))
        batches = list(source.batches(random, steps=99))
        assert [len(batch.targets) for batch in batches] == [5, 5, 2]
        heard = torch.cat([batch.inputs for batch in batches], dim=1)
        np.testing.assert_array_equal(heard.transpose(0, 1), expected[order])
        assert torch.cat([batch.targets for batch in batches]).tolist() == [triplets[n].target for n in order]


def test_the_output_of_a_frozen_separator_is_that_of_every_batch(
    trained: Workspace, judged: JudgedSegments, preferences: list[Preference]
) -> None:
    from soundalike.train.metric.paft import _SeparatedTriplets

    own = [one for one in preferences if one.instrument == NAMES[1]] * 3
    triplets = judged.triplets(own, "pseudo", np.random.default_rng(0))
    module = trained.network("cascade", 1)
    spectra = _SeparatedTriplets(triplets, module, SETTINGS, judged.segments).take([3, 9, 0]).inputs  # type: ignore[arg-type]
    for at, number in enumerate((3, 9, 0)):
        mixtures, _ = render([triplets[number]], judged.segments)
        with torch.no_grad():
            expected = module.separator(magnitudes(torch.from_numpy(mixtures[0]), SETTINGS.spectrum))  # type: ignore[operator]
        torch.testing.assert_close(spectra[:, at], expected)


def test_mistakes_are_named(
    tmp_path: Path, trained: Workspace, judged: JudgedSegments, preferences: list[Preference]
) -> None:
    space = tuned(trained, "clean", tmp_path / "work", judged, preferences)
    with pytest.raises(UsageError, match=r"clean.1.piano.safetensors is of another run: its judgements"):
        train_paft(PAFTS["clean"], 1, 1, space, judged, preferences[:6])
    drums = [one for one in preferences if one.instrument == "bass"]
    with pytest.raises(UsageError, match="no judgements on piano to train on"):
        train_paft(PAFTS["clean"], 1, 1, space, judged, drums)
    wider = replace(space.settings, network=replace(space.settings.network, dim=5))
    with pytest.raises(UsageError, match="dim"):
        load_paft(replace(space, settings=wider), PAFTS["clean"], 1, 1)
