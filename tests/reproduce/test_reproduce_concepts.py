"""`soundalike reproduce concepts`: all networks on tiny songs, judgements, what is missing, and killed runs."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from concept_songs import SETTINGS, write_songs

from soundalike.audio import CONCEPTS, TrackLabels, alike
from soundalike.core.errors import UsageError
from soundalike.evaluate.concepts import mask_outcomes

pytest.importorskip("torch", reason="concepts are trained with torch")
import torch

from soundalike.cli.main import main
from soundalike.reproduce.comparison import Comparison, markdown_page
from soundalike.reproduce.concept_judgements import dim_sim_judgements, simulated_judgements
from soundalike.reproduce.concept_runs import ABLATION, BASELINE, BEST, ConceptRun, ConceptSources
from soundalike.reproduce.concepts import ConceptStudy
from soundalike.train.concepts import PUBLISHED
from soundalike.train.concepts.material import ConceptTrack
from soundalike.train.concepts.stage import embed_segments, load_concepts


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> tuple[ConceptTrack, ...]:
    return write_songs(tmp_path_factory.mktemp("songs"))


@pytest.fixture(scope="module")
def study(tracks: tuple[ConceptTrack, ...], tmp_path_factory: pytest.TempPathFactory) -> ConceptStudy:
    run = ConceptRun(tmp_path_factory.mktemp("work"), SETTINGS, ConceptSources(tracks, segments=2), jobs=1)
    return ConceptStudy(run, ["no-such-model"], triplets=50)


@pytest.fixture(scope="module")
def tables(study: ConceptStudy) -> dict[str, Comparison]:
    return {table.title: table for table in study.tables()}


def test_networks_have_the_sizes_of_the_paper() -> None:
    assert [row.settings(PUBLISHED).size for row in ABLATION] == [256, 256, 258, 384, 384, 384, 384]
    assert BASELINE.settings(PUBLISHED).concepts == CONCEPTS[:4] and BEST.settings(PUBLISHED) == PUBLISHED
    assert BASELINE.settings(PUBLISHED).inputs.names == ("mel",)


@pytest.mark.slow
def test_every_table_has_its_rows(tables: dict[str, Comparison], study: ConceptStudy) -> None:
    networks = tables["Table 1: networks"]
    assert [row.name for row in networks.rows] == [*(row.name for row in ABLATION), "OpenL3, 512", "no-such-model"]
    printed = {row.name: row.printed[0] for row in networks.rows}
    assert (printed[BASELINE.name], printed[BEST.name], printed["OpenL3, 512"]) == (81.92, 83.80, 79.58)
    for row in networks.rows[:7]:
        (cell,) = row.measured
        assert cell and cell.n == 426 and cell.low <= cell.value <= cell.high
    assert "soundalike models install openl3" in str(networks.rows[7].missing) and networks.rows[7].measured == (None,)
    best = tables["Table 2, top: best combinations"]
    values = [row.measured[0].value for row in best.rows if row.measured[0]]
    assert len(values) == 6 and values == sorted(values, reverse=True)
    assert [row.printed[0] for row in best.rows] == [83.80, 82.86, 82.86, 82.63, 82.63, 82.63]
    single = tables["Table 2, bottom, and figure 3: single dimensions"]
    assert [row.name for row in single.rows] == list(CONCEPTS) and single.rows[4].printed == (57.98,)
    combinations = tables["Beside table 2: all 63 combinations"]
    assert len(combinations.rows) == 63 and combinations.rows[0].measured[0] == best.rows[0].measured[0]
    page = markdown_page("Concepts", "", list(tables.values()))
    assert "| 1. (ours: " in page and "simulated listeners, who judge 426 triplets" in page
    assert not study.failed


@pytest.mark.slow
def test_accuracy_per_concept_and_mask(tables: dict[str, Comparison], study: ConceptStudy) -> None:
    accuracy = tables["Beside the paper: accuracy on test segments, by concept"]
    rows = {row.name: row.measured for row in accuracy.rows}
    own = rows[f"{BASELINE.name}: own dimension"]
    assert own[4:] == (None, None), "four dimensions have no tempo and key"
    assert all(rows[f"{BASELINE.name}: all dimensions"]), "all dimensions are judged on every concept"
    masks = tables[f"Beside the paper: accuracy under each mask, {BEST.name}"]
    assert [row.name for row in masks.rows] == [*CONCEPTS, "all"]
    for at in range(6):
        assert masks.rows[at].measured[at] == rows[f"{BEST.name}: own dimension"][at]
        assert masks.rows[at].measured[at].n == 50  # type: ignore[union-attr]


@pytest.mark.slow
def test_effects_are_differences_of_the_same_triplets(tables: dict[str, Comparison]) -> None:
    accuracy = {
        row.name: row.measured for row in tables["Beside the paper: accuracy on test segments, by concept"].rows
    }
    effects = {row.name: row.measured for row in tables["Beside the paper: effect of inputs and dimensions"].rows}
    found = effects["multi-input minus single input, 6 dimensions"]
    single = accuracy["6 dimensions, single input, 384: own dimension"]
    for at in range(6):
        more, less, difference = accuracy[f"{BEST.name}: own dimension"][at], single[at], found[at]
        assert more and less and difference
        assert difference.value == pytest.approx(more.value - less.value)
    assert effects["6 minus 4 dimensions, single input"][4:6] == (None, None)
    judged = effects["multi-input minus single input, 4 dimensions"][6]
    networks = {row.name: row.measured[0] for row in tables["Table 1: networks"].rows}
    more, less = networks["4 dimensions, multi-input, 256"], networks[BASELINE.name]
    assert judged and more and less and judged.value == pytest.approx(more.value - less.value)


@pytest.mark.slow
def test_scores_are_those_of_mean_embeddings(tables: dict[str, Comparison], study: ConceptStudy) -> None:
    """Songs of two segments: the mean of their embeddings from the material is that of the sections."""
    run = study.run
    path, load = run.network(BEST)
    rows = run.material.rows["test"]
    embedding = embed_segments(load_concepts(path, BEST.settings(run.settings)), run.material, rows)
    track_of = run.material.track_of[rows]
    means = np.stack([embedding[track_of == track].mean(axis=0) for track in np.unique(track_of)])
    (found,) = run.encoder.songs([(path, load)], run.judged.files)
    np.testing.assert_allclose(found, means, atol=1e-3)
    outcomes = mask_outcomes({"all": found}, run.judged.triplets, {"all": ("all",)})
    (cell,) = next(row.measured for row in tables["Table 1: networks"].rows if row.name == BEST.name)
    assert cell and cell.value == pytest.approx(100 * outcomes.mean())


@pytest.mark.slow
def test_a_second_run_trains_and_encodes_nothing(
    tables: dict[str, Comparison], study: ConceptStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    again = ConceptRun(study.run.folder, SETTINGS, study.run.sources, jobs=1, announce=lines.append)
    monkeypatch.setattr(torch.nn.Module, "__call__", None)  # no network is run
    found = {table.title: table for table in ConceptStudy(again, ["no-such-model"], triplets=50).tables()}
    assert found["Table 1: networks"].rows == tables["Table 1: networks"].rows
    assert sum(": found; right" in line for line in lines) == 7
    other = ConceptRun(study.run.folder, replace(SETTINGS, rate=1e-3), study.run.sources, jobs=1)
    with pytest.raises(UsageError, match="four-single-256"):
        other.train()


@pytest.mark.slow
def test_figure_3(tables: dict[str, Comparison], study: ConceptStudy, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures are drawn with matplotlib")
    (picture,) = study.draw(tmp_path / "figures")
    assert picture.name == "figure3.png" and picture.read_bytes()[:4] == b"\x89PNG"


def test_simulated_listeners_prefer_more_shared_concepts(tracks: tuple[ConceptTrack, ...]) -> None:
    judged = simulated_judgements(tracks, seed=1, count=60)
    assert judged.triplets.shape == (60, 3)

    def shared(a: int, b: int) -> int:
        return sum(alike(concept, tracks[a].labels, tracks[b].labels) is True for concept in CONCEPTS)

    for anchor, positive, negative in judged.triplets:
        assert shared(anchor, positive) >= shared(anchor, negative) + 2
        assert len({tracks[number].song for number in (anchor, positive)}) == 2 and anchor != negative
    with pytest.raises(UsageError, match="find nothing to judge among 3 test recordings"):
        simulated_judgements([replace(one, labels=TrackLabels()) for one in tracks[:3]], seed=0)


@pytest.mark.slow
def test_judgements_of_dim_sim(tracks: tuple[ConceptTrack, ...], study: ConceptStudy, tmp_path: Path) -> None:
    """A tree in the layout of Dim-sim: the triplets with less agreement are left out."""
    names = "anchor_id,anchor_start_seconds,song1_id,song1_start_seconds,song2_id,song2_start_seconds,song1_vote"
    folder = tracks[0].path.parent
    lines = ["song00,0,song01,0,song02,0,1", "song03,0,song01,0,song02,0,0", "song04,0,song05,0,song06,0,0.8"]
    table = tmp_path / "clean-dim-sim.csv"
    table.write_text("\n".join([names, *lines]) + "\n")
    judged = dim_sim_judgements(folder, table)
    assert [[judged.files[number].stem for number in triplet] for triplet in judged.triplets] == [
        ["song00", "song01", "song02"], ["song03", "song02", "song01"],
    ]  # fmt: skip
    assert judged.source == "listeners of Dim-sim, 2 triplets with an agreement of 90 % and more"
    sources = replace(study.run.sources, dim_sim=folder, table=table)
    run = ConceptRun(study.run.folder, SETTINGS, sources, jobs=1)
    table_1 = ConceptStudy(run, (), triplets=50).tables()[0]
    (cell,) = table_1.rows[0].measured
    assert cell and cell.n == 2 and not math.isnan(cell.low)
    table.write_text("\n".join([names, lines[0].replace("song02", "gone")]) + "\n")
    with pytest.raises(UsageError, match="lacks 1 of 3 recordings of clean-dim-sim.csv: gone"):
        ConceptRun(tmp_path / "work", SETTINGS, sources, jobs=1).train()
    assert not (tmp_path / "work").exists(), "what is missing is found before any work"


def test_a_concept_without_labels_is_one_line(tracks: tuple[ConceptTrack, ...], tmp_path: Path) -> None:
    unlabelled = tuple(replace(one, labels=replace(one.labels, mood=())) for one in tracks)
    run = ConceptRun(tmp_path, SETTINGS, ConceptSources(unlabelled, segments=2), jobs=1)
    with pytest.raises(UsageError, match="^mood cannot be learned from the training recordings: no track is labelled"):
        run.train()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give the folder of a dataset, or --rendered"),
        (["music", "--rendered"], "give the folder of a dataset, or --rendered"),
        (["no-such-folder"], "no-such-folder does not exist; give a folder with labelled recordings"),
        (["--rendered", "-o", "no-such-folder/page.md"], "its folder does not exist"),
    ],
)
def test_bad_arguments_are_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reproduce", "concepts", *arguments, "--work", str(tmp_path / "work")]) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
