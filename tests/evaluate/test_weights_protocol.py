"""Judgements and fitted weights: reading labels, trials beside plain loops, and the protocol on true stems."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from probe_trees import TREES, slakh2100

from soundalike.cli.evaluate import protocol_command
from soundalike.core import plugins
from soundalike.core.errors import UsageError
from soundalike.core.types import Report
from soundalike.evaluate.judgements import merge_stems, read_judgements
from soundalike.evaluate.terms import Term, measure_terms
from soundalike.evaluate.weight_trials import agreement_reports, baselines, run_trials
from soundalike.models import fitter


def evaluate(*arguments: object) -> tuple[Report, ...]:
    """Run the protocol with the model dsp, without printing."""
    protocol = plugins.load("protocols", "weights")
    given = [*map(str, arguments), "--model", "dsp", "--jobs", "1"]
    context = protocol_command("weights").make_context("weights", given)
    found: tuple[Report, ...] = protocol.run(SimpleNamespace(**context.params))
    return found


def labels(path: Path, *lines: str, header: str = "x,a,b,answer,votes,question") -> Path:
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_votes_are_pooled_whatever_the_order_of_a_and_b(tmp_path: Path) -> None:
    for name in "xab":
        (tmp_path / f"{name}.wav").write_bytes(b"")
    file = labels(
        tmp_path / "l.csv", "x.wav,b.wav,a.wav,A,3,", "x.wav,a.wav,b.wav,b,2,", "x.wav,a.wav,b.wav,A,,timbre",
        "x.wav,b.wav,a.wav,B,1,",
    )  # fmt: skip
    found = read_judgements([file], tmp_path)
    assert [clip.name for clip in found.clips] == ["x.wav", "a.wav", "b.wav"]
    assert found.triplets.tolist() == [[0, 1, 2]]
    assert found.votes["total"].tolist() == [[1, 5]] and found.votes["timbre"].tolist() == [[1, 0]]
    assert found.songs() == [("x.wav", "a.wav", "b.wav")]
    chosen, answers = found.majority("total", Fraction(3, 4))
    assert (chosen.tolist(), answers.tolist()) == ([0], [-1.0])
    assert not len(found.majority("total", Fraction(5, 6))[0])
    assert len(found.majority("total", Fraction(5, 6), strict=False)[0]) == 1


def test_songs_of_the_labels_and_folders_of_stems(tmp_path: Path) -> None:
    for name in ("one/drums.wav", "one/Residuals.flac", "two/mix.wav", "two/drums.wav", "three/notes.txt", "a.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    file = labels(tmp_path / "l.csv", "one,two,a.wav,A,s", header="x,a,b,answer,song_x")
    found = {clip.name: clip for clip in read_judgements([file], tmp_path).clips}
    assert found["one"].song == "s" and found["two"].song == "two"
    assert set(found["one"].files) == {"mix", "drums", "other"} and len(found["one"].files["mix"]) == 2
    assert found["two"].files["mix"] == (tmp_path / "two/mix.wav",)
    with pytest.raises(UsageError, match="three holds no audio"):
        read_judgements([labels(tmp_path / "l.csv", "three,one,two,A", header="x,a,b,answer")], tmp_path)


def test_parts_of_slakh_and_four_stems(tmp_path: Path) -> None:
    root = TREES["slakh2100"](tmp_path / "slakh")
    file = labels(tmp_path / "l.csv", "Track00001@0.5-1.5,Track00002,Track00003,A", header="x,a,b,answer")
    clip = read_judgements([file], slakh=root).clips[0]
    assert (clip.song, clip.start, clip.end) == ("Track00001", 0.5, 1.5)
    assert set(clip.files) == {"mix", "drums", "bass", "guitar", "piano", "other"}
    four = merge_stems(clip.files, 4)
    assert set(four) == {"mix", "drums", "bass", "other"} and len(four["other"]) == 4


def test_judgements_of_inst_sim_abx(tmp_path: Path) -> None:
    slakh = TREES["slakh2100"](tmp_path / "slakh")
    abx = TREES["inst_sim_abx"](tmp_path / "abx")
    found = read_judgements([abx], slakh=slakh)
    assert len(found.triplets) == 6 and found.tests == ("XAB",) * 6
    assert found.clips[0].song == "Track00001" and found.clips[0].end == 1.2
    assert found.songs()[0] == ("Track00001", "Track00002", "Track00003")
    assert found.majority("melody", Fraction(3, 4))[1].tolist() == [1, -1, 1, -1, 1, -1]
    beside = read_judgements([abx])
    assert beside.clips[0].files == {"mix": (abx / "set0/0/mix/X_1-0.wav",)}
    assert beside.songs() == found.songs()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("x,a,b,C,1,", "line 2: the answer is 'C'; expected A or B"),
        ("x,a,b,A,many,", "line 2: votes is 'many'; expected a number"),
        ("x,a,a,A,1,", "nor a the same as b"),
        (",a,b,A,1,", "x, a and b must not be empty"),
        ("x,a,b,A,1,", "x does not exist; the labels name it as a clip"),
    ],
)
def test_invalid_labels_are_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        read_judgements([labels(tmp_path / "l.csv", line)], tmp_path)
    assert "\n" not in str(caught.value)


def test_other_mistakes(tmp_path: Path) -> None:
    file = labels(tmp_path / "l.csv")
    with pytest.raises(UsageError, match="l.csv: no responses"):
        read_judgements([file], tmp_path)
    with pytest.raises(UsageError, match="give the folder of the clips with --audio, or of Slakh2100 with --slakh"):
        read_judgements([file])
    with pytest.raises(UsageError, match="has no column answer; expected x, a, b, answer"):
        read_judgements([labels(file, header="x,a,b")], tmp_path)
    with pytest.raises(UsageError, match="none is not a folder"):
        read_judgements([file], tmp_path / "none")
    slakh = slakh2100(tmp_path / "slakh", songs=1, seconds=0.3)
    for name, message in (("Track9", "holds no track Track9"), ("Track00001@3-2", "ends before it starts")):
        with pytest.raises(UsageError, match=message):
            read_judgements([labels(file, f"{name},b,c,A", header="x,a,b,answer")], slakh=slakh)


def synthetic(m: int = 60) -> tuple[np.ndarray, np.ndarray, list[tuple[str, str, str]]]:
    random = np.random.default_rng(5)
    features = random.standard_normal((m, 3))
    answers = np.where(features @ [1.0, 2.0, 0.0] + 0.3 * random.standard_normal(m) > 0, 1.0, -1.0)
    songs = [tuple(str(n) for n in random.choice(20, 3, replace=False)) for _ in range(m)]
    return features, answers, songs  # type: ignore[return-value]


def test_trials_equal_a_plain_loop() -> None:
    features, answers, songs = synthetic()
    fixed = {"first": np.array([1.0, 0, 0])}
    trials = run_trials(features, answers, songs, ["XAB"] * 60, fixed, penalty=2.0, seed=3, splits=5)
    assert trials.rows == ("first", "OLS", "ridge", "non-negative") and trials.train == 42
    right = {}
    for n in range(60):
        train = [other for other in range(60) if not set(songs[n]) & set(songs[other])]
        weights = fitter("ridge", 2.0)(features[train], answers[train])
        right[songs[n], answers[n], features[n, 0]] = float(np.sign(features[n] @ weights) == answers[n])
    assert np.isclose(trials.left_out[:, 2].mean(), np.mean(list(right.values())))
    assert sorted(trials.left_out_songs) == sorted(one[0] for one in songs)
    baseline = ((features[:, 0] > 0) == (answers > 0)).mean()
    assert abs(trials.splits[:, 0].mean() - baseline) < 0.15
    assert trials.splits[:, 1].mean() > trials.splits[:, 0].mean()
    agreement, gain = agreement_reports(trials, "q", "m", "soundalike evaluate weights", 0, [])
    assert agreement.columns == ("5 random splits", "their sd", "songs left out")
    np.testing.assert_allclose(agreement.values[:, 0], 100 * trials.splits.mean(axis=0))
    np.testing.assert_allclose(agreement.values[:, 1], 100 * trials.splits.std(axis=0, ddof=1))
    np.testing.assert_allclose(gain.values[:, 0], agreement.values[1:, 0] - agreement.values[0, 0])
    np.testing.assert_allclose(gain.values[:, 1], agreement.values[1:, 2] - agreement.values[0, 2])


def test_two_tests_have_columns_of_their_own() -> None:
    features, answers, songs = synthetic()
    tests = ["XAB", "XYC"] * 30
    trials = run_trials(features, answers, songs, tests, {}, penalty=1.0, seed=0, splits=2)
    with_base = run_trials(features, answers, songs, tests, {"b": np.ones(3)}, penalty=1.0, seed=0, splits=2)
    assert trials.left_out.tolist() == with_base.left_out[:, 1:].tolist()
    report = agreement_reports(with_base, "q", "m", "soundalike evaluate weights", 0, [])[0]
    assert report.columns[2:] == ("songs left out", "songs left out, XAB", "songs left out, XYC")
    parts = report.values[:, 3:] * report.n[:, 3:]
    np.testing.assert_allclose(parts.sum(axis=1), report.values[:, 2] * report.n[:, 2])


def test_baselines_are_those_of_the_mix_of_the_first_model() -> None:
    terms = [Term("m", "melody", "mix", 0.5), Term("m", "timbre", "mix", 0.25), Term("m", "drums", "drums", np.nan),
             Term("n", "melody", "mix", 1.0)]  # fmt: skip
    found = baselines(terms)
    assert list(found) == ["cosine, melody", "cosine, timbre", "all spaces, weights 1"]
    assert found["all spaces, weights 1"].tolist() == [2, 4, 0, 0]
    assert list(baselines(terms[:1])) == ["cosine, melody"]


@pytest.fixture(scope="module")
def slakh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return slakh2100(tmp_path_factory.mktemp("slakh"), seconds=0.8)


@pytest.fixture(scope="module")
def judged(slakh: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve triplets of four songs."""
    lines = []
    for x in range(4):
        for skip in range(1, 4):
            a, b = (1 + n for n in range(4) if n not in (x, (x + skip) % 4))
            lines.append(f"Track0000{x + 1},Track0000{a},Track0000{b},{'AB'[(x + skip) % 2]},4,total")
    return labels(tmp_path_factory.mktemp("labels") / "l.csv", *lines)


def test_the_protocol_on_true_stems(slakh: Path, judged: Path) -> None:
    given = ("--labels", judged, "--slakh", slakh, "--true-stems", "4", "--space", "timbre", "--splits", "5")
    agreement, gain, weights = evaluate(*given)
    assert agreement.title == "Agreement with listeners, question total: 12 triplets, 4 terms"
    assert agreement.rows == ("cosine, timbre", "OLS", "ridge", "non-negative")
    assert gain.rows == ("OLS", "ridge", "non-negative")
    assert weights.rows == ("timbre", "drums.timbre", "bass.timbre", "other.timbre")
    assert weights.columns == ("OLS", "ridge", "non-negative", "spread of f")
    assert (weights.values[:, 2] >= 0).all() and (weights.values[:, 3] > 0).all()
    assert weights.command == (
        "soundalike evaluate weights --labels FILE --slakh DIR --model dsp --true-stems 4 --space timbre"
    )


def test_too_few_triplets_are_refused_before_any_clip_is_decoded(tmp_path: Path) -> None:
    for name in "xab":
        (tmp_path / f"{name}.wav").write_bytes(b"")
    file = labels(tmp_path / "l.csv", "x.wav,a.wav,b.wav,A,1,")
    with pytest.raises(UsageError, match="too few triplets .1 for total; at least 10 are needed."):
        evaluate("--labels", file, "--audio", tmp_path)


def test_labels_without_stems_are_refused(tmp_path: Path) -> None:
    for name in "xab":
        (tmp_path / f"{name}.wav").write_bytes(b"")
    file = labels(tmp_path / "l.csv", "x.wav,a.wav,b.wav,A,1,")
    judgements = read_judgements([file], tmp_path)
    with pytest.raises(UsageError, match="no clip has stems; give folders with one file per stem"):
        measure_terms(judgements, ["dsp"], true_stems=6)
