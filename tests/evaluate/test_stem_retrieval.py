"""Stem retrieval: ranks against all orders and plain loops, the clips of songs, and what cannot be measured."""

from __future__ import annotations

import json
import shutil
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from probe_trees import tone

from conftest import RATE, write
from soundalike.audio import load
from soundalike.cli.evaluate import protocol_command
from soundalike.core import plugins
from soundalike.core.errors import UsageError
from soundalike.core.types import Audio, FloatArray, Report
from soundalike.evaluate.ranking import chance_of_one, first_is_right, scores_of_one
from soundalike.evaluate.recordings import mix
from soundalike.evaluate.stem_clips import prepare_song, read_stem_files
from soundalike.models import Model, find_model

SPACES = ("melody", "rhythm", "timbre", "harmony")
KINDS = ("bass", "other", "vocals")
SECONDS = 2.0


def sound(kind: str, number: int) -> np.ndarray:
    """A stem of a song: low, rich or high, with another melody in every song and half."""
    base = {"bass": 60.0, "other": 300.0, "vocals": 900.0}[kind]
    notes = np.random.default_rng([number, len(kind)]).integers(0, 12, round(SECONDS / 0.5))
    harmonics = {"bass": 2, "other": 12, "vocals": 3}[kind]
    return np.concatenate([tone(base * 2 ** (note / 12), harmonics, 0.5) for note in notes])


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two songs with three stems, an instrumental with two, and a master that is no stem."""
    root = tmp_path_factory.mktemp("songs")
    lines = ["song,path,stem_class"]
    for number, song in enumerate(("Cat", "Dog", "Eel")):
        for kind in KINDS[:2] if song == "Eel" else KINDS:
            write(root / song / f"{kind}.wav", sound(kind, number))
            lines.append(f"{song},{song}/{kind}.wav,{kind}")
    write(root / "Cat" / "master.wav", sound("bass", 9))
    lines.append("Cat,Cat/master.wav,mix")
    (root / "stems.csv").write_text("\n".join(lines) + "\n")
    return root


def evaluate(*arguments: object, model: str | Path = "dsp") -> dict[str, Report]:
    """Run the protocol; the reports by what their titles say of the setting."""
    given = [*map(str, arguments), "--model", str(model), "--jobs", "1"]
    context = protocol_command("stems").make_context("stems", given)
    reports = plugins.load("protocols", "stems").run(SimpleNamespace(**context.params))
    assert all(report.command.startswith("soundalike evaluate stems --data DIR") for report in reports)
    return {report.title.removeprefix("Stem retrieval, ").partition(":")[0]: report for report in reports}


# Ranks --------------------------------------------------------------------------------------------------------------


def test_scores_are_those_of_a_random_order_of_ties() -> None:
    random = np.random.default_rng(1)
    similarity = random.integers(0, 3, (30, 5)).astype(np.float64)
    right, allowed = random.integers(0, 5, 30), random.random((30, 5)) < 0.7
    allowed[np.arange(30), right] = True
    expected, by_chance = [], []
    for row, own, candidates in zip(similarity, right, allowed, strict=True):
        ranks, random_ranks = [], []
        for order in permutations(np.flatnonzero(candidates).tolist()):
            ranks.append(1 + sorted(order, key=lambda one: -row[one]).index(own))
            random_ranks.append(1 + order.index(own))
        for ranking, into in ((ranks, expected), (random_ranks, by_chance)):
            into.append([np.mean([rank == 1 for rank in ranking]), np.mean([1 / rank for rank in ranking])])
    assert scores_of_one(similarity, right, allowed) == pytest.approx(np.array(expected))
    assert chance_of_one(allowed) == pytest.approx(np.array(by_chance))


def test_the_class_of_the_first_counts_ties_as_in_a_random_order() -> None:
    random = np.random.default_rng(2)
    similarity = random.integers(0, 3, (30, 5)).astype(np.float64)
    right, allowed = random.random((30, 5)) < 0.4, random.random((30, 5)) < 0.7
    allowed[:, 0] = True
    expected = []
    for row, own, candidates in zip(similarity, right, allowed, strict=True):
        firsts = [sorted(order, key=lambda one: -row[one])[0] for order in permutations(np.flatnonzero(candidates))]
        expected.append(np.mean([own[first] for first in firsts]))
    assert first_is_right(similarity, right, allowed) == pytest.approx(np.array(expected))


# Clips --------------------------------------------------------------------------------------------------------------


def test_songs_may_lack_classes_and_a_master_is_no_stem(songs: Path) -> None:
    found = read_stem_files(songs)
    assert {song: tuple(kinds) for song, kinds in found.items()} == {"Cat": KINDS, "Dog": KINDS, "Eel": KINDS[:2]}


def test_the_part_with_the_most_stems_is_used(tmp_path: Path) -> None:
    quiet, loud = np.zeros(3 * RATE, np.float32), tone(300, 3, 3.0)
    stems = {
        "bass": [write(tmp_path / "bass.wav", np.concatenate([loud, loud, quiet]))],
        "vocals": [write(tmp_path / "vocals.wav", np.concatenate([quiet, loud, loud[: RATE // 2]]))],
    }
    (tmp_path / "made").mkdir()
    clips = prepare_song("song", stems, tmp_path / "made", 4.0, {})
    assert clips.seconds == 4 and list(clips.files) == ["mix", "given"]
    assert [clips.span("mix", "bass", half).start for half in (0, 1)] == [0, 2]
    assert clips.sounding == dict.fromkeys(("bass", "vocals", "accompaniment"), (True, True))
    parts = {kind: load(clips.files["given"][kind]).samples for kind in clips.files["given"]}
    assert np.array_equal(parts["accompaniment"], parts["bass"])
    assert np.allclose(load(clips.files["mix"]["vocals"]).samples, parts["bass"] + parts["vocals"], atol=1e-6)


def test_a_silent_half_is_no_query(tmp_path: Path) -> None:
    stems = {
        "bass": [write(tmp_path / "bass.wav", tone(60, 3, 4.0))],
        "vocals": [write(tmp_path / "vocals.wav", np.concatenate([tone(700, 3, 2.0), np.zeros(2 * RATE, np.float32)]))],
    }
    assert prepare_song("song", stems, tmp_path, 60.0, {}).sounding["vocals"] == (True, False)


# The protocol -------------------------------------------------------------------------------------------------------


def expected_scores(songs: Path, kind: str, shift: int, source: str, space: str) -> tuple[float, ...]:
    """Recall@1, MRR and the class of the first of all stems, by loops over encoded halves."""
    model, half = Model.load("dsp"), SECONDS / 2
    found = read_stem_files(songs)
    audio = {(song, one): load(files[0]) for song, stems in found.items() for one, files in stems.items()}

    def row(whole: Audio, part: int) -> FloatArray:
        return model.encode(whole, start=part * half, end=(part + 1) * half).track.rows[space][0]

    rows = {(*name, part): row(whole, part) for name, whole in audio.items() for part in (0, 1)}
    hits, reciprocals, classes = [], [], []
    for song, stems in found.items():
        if kind not in stems:
            continue
        mixed = mix([audio[song, one] for one in stems])
        for part in (0, 1):
            asked = row(mixed, part) if source == "mix" else rows[song, kind, part]
            similar = {name: float(asked @ row) for name, row in rows.items() if name[2] == (part + shift) % 2}
            ranking = sorted(similar, key=lambda name: -similar[name])
            rank = 1 + ranking.index((song, kind, (part + shift) % 2))
            hits.append(rank == 1)
            reciprocals.append(1 / rank)
            classes.append(ranking[0][1] == kind)
    return tuple(100 * float(np.mean(values)) for values in (hits, reciprocals, classes))


def test_retrieval_is_that_of_plain_loops(songs: Path, halves: Path) -> None:
    reports = evaluate("--data", songs, "--with", "halves", "--with", "demucs")
    report = reports["other passage, among all stems"]
    assert report.title.endswith("8 stems of 3 songs")
    assert report.columns[:3] == ("bass R@1", "bass MRR", "bass class")
    assert report.columns[-1] == "accompaniment class"
    assert report.rows[:5] == (*(f"mix: {space}" for space in SPACES), "mix: all spaces")
    for source in ("mix", "given"):
        at = report.rows.index(f"{source}: timbre"), report.columns.index("vocals R@1")
        assert tuple(report.values[at[0], at[1] : at[1] + 3]) == pytest.approx(
            expected_scores(songs, "vocals", 1, source, "timbre"), abs=1e-3
        )
    # 16 halves of stems are in two pools of 8; four queries for vocals, six for the bass.
    assert report.n[0].tolist() == [6] * 6 + [4] * 6
    # Three of eight stems are basses.
    assert (report.chance[0], report.chance[2]) == pytest.approx((100 / 8, 300 / 8))
    assert reports["other passage, among stems of the class"].chance[:2] == pytest.approx([100 / 3, 1100 / 18])
    costs = reports["core-seconds per minute of music"]
    assert costs.rows == ("mix", "halves", "given") and costs.columns == ("separation (s)", "encoding (s)", "sum (s)")
    assert costs.values[[0, 2], 0].tolist() == [0, 0] and (costs.values[:, 1] > 0).all()
    same = reports["same passage, among all stems"]
    given = [row.startswith("given") for row in same.rows]
    timbre = same.rows.index("given: timbre")
    assert sum(given) == 5 and (same.values[timbre] == 100).all(), "a stem is most similar to itself"
    # What is above 400 Hz is the vocals; this separator makes no "other".
    found = report.rows.index("halves: timbre")
    assert np.isfinite(report.values[found, report.columns.index("vocals MRR")])
    assert np.isnan(report.values[found, report.columns.index("other MRR")])
    # Without weights, or without the package: one empty row, and a note that says what to do.
    assert report.rows[-1] == "demucs: weights absent" and np.isnan(report.values[-1]).all()
    remedies = ("soundalike separators install demucs", "pip install 'soundalike[demucs]'")
    assert any(remedy in note for note in report.notes for remedy in remedies)
    gain = reports["other passage, among all stems, minus the mix"]
    expected = report.values[found] - report.values[report.rows.index("mix: timbre")]
    assert gain.values[gain.rows.index("halves minus mix: timbre")] == pytest.approx(expected, nan_ok=True)


def test_a_model_may_hear_classes_in_the_mix(songs: Path, tmp_path: Path) -> None:
    """The model `dsp` with other names of spaces."""
    folder = tmp_path / "named"
    shutil.copytree(find_model("dsp"), folder)
    recipe = json.loads((folder / "recipe.json").read_text())
    for space, name in zip(recipe["spaces"], ("bass", "other", "vocals", "drums"), strict=True):
        space["tensors"], space["name"] = space["name"], name
    (folder / "recipe.json").write_text(json.dumps(recipe))
    report = evaluate("--data", songs, "--with", "demucs", model=folder)["other passage, among all stems"]
    own = report.rows.index("mix: own space")
    for kind in KINDS:
        at = report.columns.index(f"{kind} R@1")
        expected = report.values[report.rows.index(f"mix: {kind}"), at : at + 3]
        assert report.values[own, at : at + 3].tolist() == expected.tolist()
    assert np.isnan(report.values[own, report.columns.index("accompaniment R@1")])
    assert any("named after the class" in note for note in report.notes)


def test_guitars_and_pianos_may_be_classes_of_their_own(tmp_path: Path) -> None:
    lines = ["song,path,instrument,stem_class"]
    for name, instrument, kind in (
        ("a", "clean electric guitar", "other"), ("b", "Grand Piano", "other"), ("c", "organ", "other"),
        ("d", "electric bass", "bass"), ("e", "acoustic guitar", "other"),
    ):  # fmt: skip
        write(tmp_path / f"{name}.wav", tone(300, 2, 0.1))
        lines.append(f"Cat,{name}.wav,{instrument},{kind}")
    (tmp_path / "stems.csv").write_text("\n".join(lines) + "\n")
    found = read_stem_files(tmp_path, by_instrument=True)["Cat"]
    assert {kind: [file.stem for file in files] for kind, files in found.items()} == {
        "bass": ["d"], "guitar": ["a", "e"], "other": ["c"], "piano": ["b"],
    }  # fmt: skip
    assert set(read_stem_files(tmp_path)["Cat"]) == {"bass", "other"}


def test_what_cannot_be_measured_is_refused(songs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no song Fox; --data has Cat, Dog, Eel"):
        evaluate("--data", songs, "--song", "Fox")
    with pytest.raises(UsageError, match="only the song Cat; expected two songs"):
        evaluate("--data", songs, "--song", "Cat")
    with pytest.raises(UsageError, match="the song Cat is in two folders"):
        evaluate("--data", songs, "--data", songs)
    with pytest.raises(UsageError, match="holds no songs; expected"):
        evaluate("--data", tmp_path)
    (tmp_path / "stems.csv").write_text("song,path,stem_class\n")
    with pytest.raises(UsageError, match="holds no song; expected MUSDB18-HQ, or recordings that stems.csv lists"):
        evaluate("--data", tmp_path)
