"""`soundalike reproduce instrument-similarity`: all stages on tiny songs, what is missing, and killed runs."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from similarity_songs import RATE, SETTINGS, STEMS, write_songs

from soundalike.core.errors import UsageError

pytest.importorskip("torch", reason="instruments are trained with torch")
import torch

from soundalike.cli.main import main
from soundalike.evaluate.estimates import clopper_pearson
from soundalike.evaluate.mes import mes_outcomes
from soundalike.evaluate.sdr import song_sdr
from soundalike.render.songs import SongSettings
from soundalike.reproduce.comparison import Comparison, ComparisonRow, markdown_page
from soundalike.reproduce.instrument_similarity import SimilarityStudy
from soundalike.reproduce.similarity_agreement import Agreement
from soundalike.reproduce.similarity_layout import Layout
from soundalike.reproduce.similarity_rows import separated_sdr
from soundalike.reproduce.similarity_runs import RenderedSongs, SimilarityRun, SimilaritySources
from soundalike.reproduce.similarity_sets import normal_segments, picture_segments, pseudo_segments
from soundalike.train.common import fit as fit_module
from soundalike.train.metric import FIVE
from soundalike.train.metric.material import Material, load_material
from soundalike.train.metric.segments import Segments
from soundalike.train.metric.spectra import magnitudes
from soundalike.train.metric.stages import STAGES, train_stage
from soundalike.train.metric.triplets import render_stems

NAMES = tuple(STEMS)


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_songs(tmp_path_factory.mktemp("songs"))


@pytest.fixture(scope="module")
def material(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> Material:
    return load_material(songs, SETTINGS, tmp_path_factory.mktemp("cache"), jobs=1)


@pytest.fixture(scope="module")
def segments(material: Material) -> Segments:
    return Segments(material.songs["test"], NAMES, SETTINGS.test_segment)


@pytest.fixture(scope="module")
def run(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> SimilarityRun:
    """Two stages of one instrument."""
    found = SimilarityRun(tmp_path_factory.mktemp("work"), SETTINGS, SimilaritySources(songs, judgements=10), jobs=1)
    for stage in ("separators", "cascade"):
        train_stage(STAGES[stage], 1, found.space)
    return found


def by_title(tables: list[Comparison], title: str) -> Comparison:
    return next(table for table in tables if table.title.startswith(title))


def row_of(table: Comparison, name: str) -> ComparisonRow:
    return next(row for row in table.rows if row.name == name)


# Segments -------------------------------------------------------------------------------------------------------------


def test_normal_segments_are_of_one_song_and_do_not_overlap_within_a_draw(segments: Segments) -> None:
    found = normal_segments(segments, 1, seed=0, least=200)
    assert len(found.mixtures) >= 200 and len(found.draws) > 1
    first = 0
    for number, draw in enumerate(found.draws):
        own = found.mixtures[first : first + len(draw.segments)]
        first += len(own)
        starts: dict[int, list[int]] = {}
        for mixed, label in zip(own, draw.targets, strict=True):
            (cut,) = set(mixed.cuts)
            assert label == str(cut.piece)
            assert cut.start in segments.starts(cut.piece, 1)
            assert cut.start + segments.length <= segments.pieces[cut.piece].frames
            starts.setdefault(cut.piece, []).append(cut.start)
        assert all(np.diff(sorted(one)).min() >= segments.length for one in starts.values())
        assert number or all(0 in one for one in starts.values())  # the first draw cuts from the beginnings


def test_pseudo_segments_have_the_target_of_one_song_and_the_rest_of_another_one(segments: Segments) -> None:
    found = pseudo_segments(segments, 2, seed=0, least=150)
    for draw in found.draws:
        assert len(set(draw.targets)) == 10 and len(set(draw.excluded or ())) == 40
    labels = [pair for draw in found.draws for pair in zip(draw.targets, draw.rests, strict=True)]
    for mixed, (target, rest) in zip(found.mixtures, labels, strict=True):
        assert str(mixed.cuts[2].piece) == target
        assert {str(cut.piece) for kind, cut in enumerate(mixed.cuts) if kind != 2} == {rest}
        assert len({cut.start for cut in mixed.cuts}) == 1


def test_the_set_of_the_pictures_has_ten_segments_of_every_pair(segments: Segments) -> None:
    found = picture_segments(segments, 0, seed=0)
    (draw,) = found.draws
    pairs = list(zip(draw.targets, draw.rests, strict=True))
    assert len(pairs) == 1000 and all(pairs.count(pair) == 10 for pair in set(pairs)) and len(set(pairs)) == 100
    assert len({(mixed.cuts[0].piece, mixed.cuts[0].start) for mixed in found.mixtures}) == 100


def test_scores_are_those_of_every_draw_by_itself(segments: Segments, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soundalike.evaluate.mes._CHANCE_VOTES", 2000)  # for the time
    found = pseudo_segments(segments, 0, seed=1, least=150)
    rows = np.random.default_rng(0).normal(size=(len(found.mixtures), 3))
    outcomes, first = [], 0
    for draw in found.draws:
        own = slice(first, first + len(draw.segments))
        outcomes += mes_outcomes(rows[own], draw.targets, draw.excluded).tolist()
        first = own.stop
    score = found.score(rows, 0)
    assert score.value == pytest.approx(100 * np.mean(outcomes)) and score.n == len(outcomes)
    assert score.low <= score.value <= score.high
    assert abs(found.chance(0).value - score.value) < 8


# Rows, separation and agreement ---------------------------------------------------------------------------------------


def test_rows_are_those_of_the_network_and_are_kept(run: SimilarityRun, segments: Segments) -> None:
    chosen = normal_segments(segments, 1, seed=0, least=20)
    weights, load = run.network("cascade", 1)
    rows = run.encoder.rows(weights, load, chosen.mixtures, segments, 1)
    network = load()
    for number in (0, 17):
        mix = render_stems([chosen.mixtures[number]], segments).sum(axis=1)
        with torch.no_grad():
            expected = network(magnitudes(torch.from_numpy(mix), SETTINGS.spectrum))
        np.testing.assert_allclose(rows[number], expected[0], atol=1e-5)

    def fail() -> torch.nn.Module:
        raise AssertionError("the rows are there")

    np.testing.assert_array_equal(run.encoder.rows(weights, fail, chosen.mixtures, segments, 1), rows)


def test_the_sdr_is_that_of_the_masked_mix(run: SimilarityRun, material: Material) -> None:
    piece = material.songs["test"][0]
    true, mix = piece.cut(1, 0, piece.frames), piece.cut(None, 0, piece.frames)
    expected = song_sdr(true[None, None], mix[None, None], RATE)[0]
    assert separated_sdr(None, piece, 1, SETTINGS) == pytest.approx(expected)
    network = run.space.network("cascade", 1)
    found = separated_sdr(network, piece, 1, SETTINGS)

    class Open(torch.nn.Module):
        """A separator whose mask is 1."""

        def forward(self, spectrum: torch.Tensor) -> torch.Tensor:
            return spectrum

    network.separator = Open()
    assert separated_sdr(network, piece, 1, SETTINGS) == pytest.approx(expected, abs=0.05)
    assert math.isfinite(found)


def test_agreement_counts_responses(run: SimilarityRun) -> None:
    own = [one for one in run.judged.preferences if (one.instrument, one.test) == ("piano", "XAB")]
    network, judged = run.space.network("cascade", 1), run.segments
    won = total = 0
    for one in own:
        rows = []
        for place in one.places:
            cut = judged.cut(place)
            mix = judged.segments.pieces[cut.piece].cut(None, cut.start, judged.segments.length)
            with torch.no_grad():
                rows.append(network(magnitudes(torch.from_numpy(mix)[None], SETTINGS.spectrum))[0].numpy())
        right = np.linalg.norm(rows[0] - rows[1]) < np.linalg.norm(rows[0] - rows[2])
        won += one.votes[0] if right else one.votes[1]
        total += sum(one.votes)
    found = Agreement(run).measure("XAB", "Cascade", tuned=False)(1)
    expected = clopper_pearson(np.array([won]), np.array([total]))
    assert (found.value, found.n) == (pytest.approx(100 * won / total), total)
    assert found.low == pytest.approx(100 * expected.low[0]) and found.high == pytest.approx(100 * expected.high[0])


# Layout ---------------------------------------------------------------------------------------------------------------


def test_rows_have_printed_numbers_with_intervals_and_deviations() -> None:
    layout = Layout(FIVE)
    assert layout.columns == ("drums", "bass", "piano", "guitar", "residuals")
    row = layout.row("Direct", "all-diff", None, "no labels", mean=True)
    assert row.printed == (56.74, 65.78, 69.64, 62.20, 57.63, 61.55) and row.missing == "no labels"
    assert (row.low[2], row.high[2]) == (57.12, 63.04) and row.measured == (None,) * 6
    tuned = layout.row("Clean, clean", "all-diff, PAFT", None, "no labels", mean=True)
    assert tuned.deviations[:4] == (5.62, 17.20, 2.64, 3.67) and math.isnan(tuned.printed[4])
    page = markdown_page("T", "", [Comparison("Table 5", "%", (*layout.columns, "mean"), (row, tuned))])
    assert "| 69.6 [57.1, 63.0] | missing |" in page and "| 71.9 ± 17.2 | missing |" in page


def test_a_row_that_fails_says_why() -> None:
    def measure(instrument: int) -> None:
        raise UsageError("too few songs")

    layout = Layout(NAMES)
    row = layout.row("Direct", "normal", measure)  # type: ignore[arg-type]
    assert row.missing == "too few songs" and row.measured == (None,) * 3
    assert layout.failed == ["Direct: too few songs"]


# The command ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soundalike.cli.reproduce_similarity.SMALL", SETTINGS)
    monkeypatch.setattr("soundalike.cli.reproduce_similarity.FIVE", NAMES)


def command(songs: Path, work: Path, *more: str) -> int:
    return main([
        "reproduce", "instrument-similarity", str(songs), "--work", str(work), "--segments", "40", "--judgements", "10",
        "--jobs", "1", *more,
    ])  # fmt: skip


@pytest.mark.slow
@pytest.mark.usefixtures("tiny")
def test_all_stages_on_tiny_songs_and_a_run_that_is_killed_anywhere(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "whole.md"
    assert command(songs, tmp_path / "whole", "-o", str(page)) == 0
    text = page.read_text()
    for title in ("Table 1", "Table 2", "Table 3", "Table 4", "Table 5: All-Diff, w/ PAFT", "Table 6", "Learning"):
        assert f"## {title}" in text
    assert "missing" in text.partition("Cascade w/ Spleeter")[2]
    capsys.readouterr()
    monkeypatch.setattr(fit_module, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    epochs = 0

    def killed(step: int) -> None:
        """Interrupt a run after some epochs, and let the next one go on."""
        real = fit_module._validate

        def validate(stage: object) -> tuple[float, float]:
            nonlocal epochs
            epochs += 1
            if epochs == step:
                raise KeyboardInterrupt
            return real(stage)  # type: ignore[arg-type]

        with monkeypatch.context() as patch:
            patch.setattr(fit_module, "_validate", validate)
            assert command(songs, tmp_path / "killed") == 130

    for step in (2, 12, 30):  # within a separator, a stage of all instruments, and fine-tuning
        epochs = 0
        killed(step)
    (next((tmp_path / "killed").glob("clean.*.safetensors"))).unlink()
    again = tmp_path / "killed.md"
    assert command(songs, tmp_path / "killed", "-o", str(again)) == 0
    assert again.read_text() == text
    capsys.readouterr()
    assert command(songs, tmp_path / "whole", "--json") == 0
    body = json.loads(capsys.readouterr().out)
    assert body["schema"] == "reproduce-instrument-similarity/1"
    table = next(one for one in body["tables"] if one["title"].startswith("Table 5: All-Diff, w/ PAFT"))
    number = next(row for row in table["rows"] if row["name"] == "Cascade, pseudo")["numbers"][0]
    assert number["printed"] == 75.5 and number["printed_deviation"] == 2.58 and number["deviation"] is not None


@pytest.mark.usefixtures("tiny")
def test_mistakes_are_named_in_one_line(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*arguments: object) -> str:
        assert main(["reproduce", "instrument-similarity", *map(str, arguments)]) == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("soundalike:")]
        assert len(lines) == 1
        return lines[0]

    assert "give the folder of the songs, or --rendered" in refused("--work", tmp_path)
    assert "give the folder of the songs, or --rendered" in refused(songs, "--rendered", "--work", tmp_path)
    assert "expected three numbers of songs" in refused("--rendered", "--songs", "3,0,1", "--work", tmp_path)
    (tmp_path / "file").touch()
    in_the_way = ("--figures", tmp_path / "file" / "figures", "--work", tmp_path)
    assert "give another folder to --figures" in refused(songs, *in_the_way)
    broken = tmp_path / "broken"
    shutil.copytree(songs, broken)
    next(broken.glob("test/*/stems/S01.wav")).unlink()
    assert "/stems/S01.flac; expected {train" in refused(broken, "--work", tmp_path / "w1")
    silent = write_songs(tmp_path / "silent", (1, 1, 1), seconds=0.5)
    for file in silent.rglob("S00.wav"):
        sf.write(file, np.zeros(RATE // 2), RATE)
    assert "silent targets everywhere: none of 3 songs has bass" in refused(silent, "--work", tmp_path / "w2")
    work = tmp_path / "w3"
    other = replace(SETTINGS, network=replace(SETTINGS.network, channels=(4, 5)))
    run = SimilarityRun(work, other, SimilaritySources(songs), jobs=1)
    train_stage(STAGES["separators"], 0, run.space)
    assert "separators.bass.safetensors is of another run: its network.channels is" in refused(songs, "--work", work)


@pytest.mark.slow
def test_rows_without_judgements_say_what_they_need(songs: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(songs, bare, ignore=shutil.ignore_patterns("MIDI"))
    run = SimilarityRun(tmp_path / "work", SETTINGS, SimilaritySources(bare, judgements=10), jobs=1)
    tables = SimilarityStudy(run, least=30).tables()
    for title in ("Table 1", "Table 5: All-Diff, w/o", "Table 5: One-Shared, w/ ", "Beside table 5"):
        for row in by_title(tables, title).rows:
            assert "listeners by parameters need MIDI files" in str(row.missing) and "--labels" in str(row.missing)
            assert not any(row.measured)
    clean = row_of(by_title(tables, "Table 2"), "Clean")
    assert clean.missing is None and all(one and one.n >= 30 for one in clean.measured)


@pytest.mark.slow
def test_songs_are_rendered_part_by_part_and_found_again(tmp_path: Path) -> None:
    from test_factory import own_place

    with own_place(tmp_path / "place") as place:
        tunes, grooves, *fonts = place.options[1::2]
        settings = SongSettings(seconds=(20.0, 20.0), tunes=tunes, grooves=grooves, soundfonts=tuple(fonts))
        said: list[str] = []
        for expected in ("1 rendered in", ", 1 found"):
            said.clear()
            run = SimilarityRun(
                tmp_path / "work", SETTINGS, SimilaritySources(RenderedSongs((1, 1, 1), settings)), 1, said.append
            )
            assert {part: len(songs) for part, songs in run.space.material.songs.items()} == {
                "train": 1, "validation": 1, "test": 1,
            }  # fmt: skip
            assert all(any(line.startswith(f"songs of {part}: ") and expected in line for line in said)
                       for part in ("train", "validation", "test"))  # fmt: skip
        assert (tmp_path / "work" / "rendered" / "test" / "test" / "Track00001" / "metadata.yaml").is_file()


@pytest.mark.slow
def test_figure_7_has_a_picture_per_method(run: SimilarityRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn", reason="soundalike[map] is not installed")
    pytest.importorskip("matplotlib", reason="soundalike[map] is not installed")
    for instrument in range(len(NAMES)):
        train_stage(STAGES["clean"], instrument, run.space)
    monkeypatch.setattr(SimilarityStudy, "_shown", lambda self: ["Clean"])
    (picture,) = SimilarityStudy(run).draw(tmp_path / "figures")
    assert picture.name == "figure7-clean.png" and picture.read_bytes().startswith(b"\x89PNG")
