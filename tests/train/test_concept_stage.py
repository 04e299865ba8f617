"""Training of concept networks: batches, learning, interruption, files, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from soundalike.audio import TrackLabels
from soundalike.core.errors import UsageError

pytest.importorskip("torch", reason="concept networks are trained with torch")
import torch
from toy_concepts import toy_material, toy_settings

from soundalike.train.common import fit as fit_module
from soundalike.train.common.checkpoints import Epoch
from soundalike.train.common.network_files import digest_network
from soundalike.train.concepts.batches import ConceptBatches, SegmentDraw
from soundalike.train.concepts.material import ConceptMaterial
from soundalike.train.concepts.stage import embed_segments, load_concepts, train_concepts

SETTINGS = toy_settings()
MATERIAL = toy_material(SETTINGS)


def labelled(material: ConceptMaterial, **labels: Any) -> ConceptMaterial:
    """The material with other labels of all tracks."""
    tracks = tuple(replace(track, labels=replace(track.labels, **labels)) for track in material.tracks)
    return replace(material, tracks=tracks)


def test_a_batch_has_one_segment_per_track_and_all_of_them_come_up() -> None:
    rows, tracks = np.arange(100, 112), np.repeat([3, 1, 7, 5], 3)
    draw, random = SegmentDraw(rows, tracks), np.random.default_rng(0)
    seen = set()
    for _ in range(60):
        found = draw(3, random)
        assert len(np.unique(tracks[found - 100])) == 3
        seen |= set(found.tolist())
    assert seen == set(range(100, 112))
    assert sorted(draw(12, random)) == list(range(100, 112))  # fewer tracks than asked for: all segments count


def test_batches_pair_inputs_with_labels() -> None:
    batches = ConceptBatches(MATERIAL, SETTINGS)
    one = next(iter(batches.batches(np.random.default_rng(0), 1)))
    assert one.alike.shape == (3, 16, 16)
    peaks = [values.mean(dim=2).argmax(dim=1) for values in one.inputs.values()]
    for alike, peak in zip(one.alike, peaks, strict=True):  # each input shows one concept
        assert torch.equal(alike == 1, peak[:, None] == peak)


def test_validation_is_the_same_in_every_epoch() -> None:
    batches = ConceptBatches(MATERIAL, SETTINGS)
    first, second = ([one.inputs["mel"] for one in batches.validation()] for _ in range(2))
    assert [len(one) for one in first] == [16, 16]
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_every_concept_is_learned_in_its_slice(tmp_path: Path) -> None:
    found = train_concepts(SETTINGS, MATERIAL, tmp_path)
    assert found.curve[-1].validation_accuracy > 0.9
    assert found.curve[0].validation_accuracy < found.curve[-1].validation_accuracy
    assert all(epoch.validation_loss == pytest.approx(1 - epoch.validation_accuracy) for epoch in found.curve)
    assert all(0 < epoch.train_loss < SETTINGS.margin for epoch in found.curve)
    network = load_concepts(found.path, SETTINGS)
    rows = MATERIAL.rows["validation"]
    embeddings = embed_segments(network, MATERIAL, rows)
    assert embeddings.shape == (40, 24)
    labels = [MATERIAL.labels[row] for row in rows]
    for column, concept in enumerate(SETTINGS.concepts):
        part = embeddings[:, 8 * column : 8 * column + 8]
        part = part / np.linalg.norm(part, axis=1, keepdims=True)
        cosines = part @ part.T
        same = np.array([[a.of(concept) == b.of(concept) for b in labels] for a in labels])
        assert cosines[same].mean() > cosines[~same].mean() + 0.3


@pytest.mark.parametrize("stopped", [1, 3])
def test_a_run_that_was_killed_gives_the_same_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: int
) -> None:
    monkeypatch.setattr(fit_module, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    settings = toy_settings(epochs=4, steps_per_epoch=2, rate_patience=1, validation=16)
    whole = train_concepts(settings, MATERIAL, tmp_path / "whole")

    class Killed(Exception):
        pass

    def kill(epoch: Epoch) -> None:
        if epoch.number == stopped:
            raise Killed

    with pytest.raises(Killed):
        train_concepts(settings, MATERIAL, tmp_path / "part", kill)
    numbers: list[int] = []
    resumed = train_concepts(settings, MATERIAL, tmp_path / "part", lambda epoch: numbers.append(epoch.number))
    assert numbers == list(range(stopped + 1, 5))
    assert resumed.curve == whole.curve
    assert digest_network(resumed.path) == digest_network(whole.path)
    assert [path.name for path in (tmp_path / "part").iterdir()] == ["concepts.safetensors"]
    again = train_concepts(settings, MATERIAL, tmp_path / "part", lambda _: pytest.fail("trained again"))
    assert again.found and again.curve == whole.curve


def test_a_network_of_another_run_is_refused(tmp_path: Path) -> None:
    settings = toy_settings(epochs=1, steps_per_epoch=1, validation=16)
    path = train_concepts(settings, MATERIAL, tmp_path, name="multi").path
    assert path == tmp_path / "multi.safetensors"
    with pytest.raises(UsageError, match=r"multi.safetensors is of another run: its margin is 0.1, expected 0.2"):
        train_concepts(replace(settings, margin=0.2), MATERIAL, tmp_path, name="multi")
    with pytest.raises(UsageError, match="its music is toy 60 0, expected toy 60 1"):
        train_concepts(settings, toy_material(settings, seed=1), tmp_path, name="multi")
    with pytest.raises(UsageError, match="its dim is 8, expected 9"):
        load_concepts(path, replace(settings, dim=9))
    assert load_concepts(path, replace(settings, device="cuda")).training is False


def test_concepts_without_enough_labels_are_refused_in_one_line(tmp_path: Path) -> None:
    for labels, message in (
        ({"genre": ()}, r"genre cannot be learned from the training tracks: no track is labelled \(of 40\)"),
        ({"genre": ("rock",)}, r"genre .*: all 40 labelled tracks are alike \(rock\); expected at least two kinds"),
    ):
        with pytest.raises(UsageError, match=message) as raised:
            train_concepts(SETTINGS, labelled(MATERIAL, **labels), tmp_path)
        assert "\n" not in str(raised.value)
    few = toy_material(SETTINGS)
    validation = few.track_of[few.rows["validation"]]
    tracks = tuple(
        replace(track, labels=TrackLabels(key=track.labels.key)) if number in validation[4:] else track
        for number, track in enumerate(few.tracks)
    )
    with pytest.raises(UsageError, match="cannot be learned from the validation tracks|no triplet of validation"):
        train_concepts(SETTINGS, replace(few, tracks=tracks), tmp_path)
    assert not any(tmp_path.iterdir())


def test_inputs_of_another_size_are_refused(tmp_path: Path) -> None:
    other = toy_settings(inputs=replace(SETTINGS.inputs, bands=40))
    with pytest.raises(UsageError, match="the mel of the material has 24 bins and 18 frames, expected 40 and 18"):
        train_concepts(other, MATERIAL, tmp_path)
    arrays = {name: values for name, values in MATERIAL.arrays.items() if name != "chroma"}
    with pytest.raises(UsageError, match="the material has no chroma; prepare it with the inputs mel, tempogram"):
        train_concepts(SETTINGS, replace(MATERIAL, arrays=arrays), tmp_path)


def test_no_rows_have_no_embeddings(tmp_path: Path) -> None:
    settings = toy_settings(epochs=1, steps_per_epoch=1, validation=16)
    network = load_concepts(train_concepts(settings, MATERIAL, tmp_path).path, settings)
    assert embed_segments(network, MATERIAL, MATERIAL.rows["test"]).shape == (0, 24)
