"""The contract of every protocol, the triplet rule, and the two protocols of triplets from folder to report."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import TUNES, tune, write
from soundalike.cli.evaluate import add_protocols
from soundalike.core import plugins
from soundalike.core.errors import AudioError, ModelError, UsageError
from soundalike.core.types import Calibration, Report, Space, Span, Triplet
from soundalike.evaluate.base import (
    EncodedClips,
    encode_clips,
    full_span,
    in_order,
    margins,
    model_report,
    triplet_outcome,
)
from soundalike.evaluate.protocols.probes import read_probes, unheard
from soundalike.evaluate.protocols.triplets import read_split, read_triplets
from soundalike.evaluate.reports import Estimate

MEMBERS = plugins.names("protocols")
SPACES = ["melody", "rhythm", "timbre", "harmony"]


def evaluate(*arguments: object) -> tuple[Report, ...]:
    """Parse the arguments of `evaluate` and measure, without printing."""
    parser = argparse.ArgumentParser()

    def common(command: argparse.ArgumentParser) -> None:
        command.add_argument("--json", action="store_true")
        command.add_argument("--model")

    add_protocols(parser.add_subparsers(required=True), common)
    args = parser.parse_args([*map(str, arguments), "--jobs", "1"])
    found: tuple[Report, ...] = plugins.load("protocols", args.protocol).run(args)
    for report in found:
        shape = (len(report.rows), len(report.columns))
        assert report.values.shape == report.low.shape == report.high.shape == report.n.shape == shape
        assert report.chance.shape == shape[1:]
        assert report.protocol == args.protocol and report.model == "compact" and report.title and report.notes
        assert report.command.startswith(f"soundalike evaluate {args.protocol} ")
        assert "/" not in report.command + report.title
        held = ~np.isnan(report.low)
        assert (report.low[held] <= report.values[held] + 1e-9).all()
        assert (report.values[held] <= report.high[held] + 1e-9).all()
        if report.unit == "%":
            assert ((report.values >= 0) & (report.values <= 100)).all() or "minus" in report.title
    return found


# The contract -------------------------------------------------------------------------------------------------------


def test_there_are_five() -> None:
    assert set(MEMBERS) >= {"abx", "probes", "retrieval", "self", "triplets"}


@pytest.mark.parametrize("name", MEMBERS)
def test_protocols_keep_the_contract(name: str) -> None:
    protocol = plugins.load("protocols", name)
    assert protocol.name == name
    assert 10 < len(protocol.summary) < 100 and "\n" not in protocol.summary
    parser = argparse.ArgumentParser()
    before = vars(parser.parse_args([]))
    protocol.add_arguments(parser)
    own = {action.dest for action in parser._actions} - {"help", *before}
    assert own and not own & {"model", "seed", "jobs", "json", "save", "plot", "run", "protocol"}
    assert all(action.help for action in parser._actions)


def test_protocols_load_nothing_heavy() -> None:
    code = (
        "import sys; from soundalike import registry; import soundalike.cli.evaluate\n"
        "for name in plugins.names('protocols'): plugins.load('protocols', name)\n"
        "heavy = ('torch', 'av', 'soundfile', 'soxr', 'scipy', 'numkong', 'safetensors', 'matplotlib')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# What protocols share -----------------------------------------------------------------------------------------------


def heard(rows: np.ndarray, mu: float = 0.1) -> tuple[EncodedClips, list[Span]]:
    """One space `melody` that heard these rows (n, d), and the clips."""
    chance = Calibration(mu, 0.2, tuple(np.linspace(-1, 1, 101)))
    space = Space("m", "melody", "mix", "b", "f", "identity", rows.shape[1], {"track": chance, "passage": chance})
    clips = [full_span(Path(f"{n}.wav")) for n in range(len(rows))]
    return EncodedClips(
        "m",
        "0123456789abcdef",
        (space,),
        {clip: n for n, clip in enumerate(clips)},
        {"melody": rows.astype(np.float32)},
    ), clips


def naive_margin(rows: np.ndarray, a: int, p: int, n: int, mu: float) -> float:
    def similarity(one: int, two: int) -> float:
        if not any(rows[one]) or not any(rows[two]):
            return mu
        return sum(float(x) * float(y) for x, y in zip(rows[one], rows[two], strict=True))

    return similarity(a, p) - similarity(a, n)


@given(st.lists(st.tuples(*[st.integers(0, 7)] * 3), min_size=1, max_size=12), st.integers(0, 9))
def test_triplets_are_judged_as_by_the_plain_loop(numbers: list[tuple[int, int, int]], seed: int) -> None:
    rows = np.random.default_rng(seed).standard_normal((8, 4)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[2] = rows[5] = 0
    ears, clips = heard(rows)
    triplets = [Triplet(clips[a], clips[p], clips[n], "melody") for a, p, n in numbers]
    margin = margins(ears, triplets)
    expected = [naive_margin(rows, a, p, n, 0.1) for a, p, n in numbers]
    assert margin[:, 0] == pytest.approx(expected, abs=1e-6)
    right = triplet_outcome(margin)[:, 0]
    silent = unheard(ears, triplets)[:, 0]
    for (a, p, n), points, unknown, gap in zip(numbers, right, silent, expected, strict=True):
        assert unknown == (a in (2, 5) or (p in (2, 5) and n in (2, 5)))
        if unknown or p == n:
            assert points == 0.5
        elif abs(gap) > 1e-6:
            assert points == (1.0 if gap > 0 else 0.0)


def test_all_similarities_follow_the_same_rule() -> None:
    rows = np.array([[1, 0], [0.6, 0.8], [0, 0]])
    ears, clips = heard(rows)
    assert ears.similarities(ears.spaces[0]) == pytest.approx(np.array([[1, 0.6, 0.1], [0.6, 1, 0.1], [0.1, 0.1, 0.1]]))
    assert ears.positions([clips[2], clips[0]]).tolist() == [2, 0]
    assert ears.audible(ears.spaces[0]).tolist() == [True, True, False]


def test_columns_follow_the_spaces_and_commands_leave_out_what_is_usual() -> None:
    ears, _ = heard(np.eye(2))
    assert in_order(["mood", "melody", "mood"], ears) == ["melody", "mood"]
    column = {"melody": Estimate(*np.array([[0.5], [0.4], [0.6]]), n=np.array([3]))}
    usual, seeded = (
        model_report(ears, argparse.Namespace(seed=seed), column, "t", protocol="self", options=options, chance=50.0)
        for seed, options in ((0, "LIBRARY"), (3, ""))
    )
    assert usual.command == "soundalike evaluate self LIBRARY --model m"
    assert seeded.command == "soundalike evaluate self --model m --seed 3"
    assert usual.rows == ("melody",) and usual.chance.tolist() == [50] and usual.unit == "%"
    assert usual.notes == ("Model digest 0123456789ab.",)


def test_every_clip_is_heard_once_and_in_any_number_of_processes(made: Callable[..., Path]) -> None:
    clips = [full_span(made(f"{name}.wav", TUNES[name], seconds=2)) for name in ("up", "leaps")]
    region = Span(clips[0].track, 0.5, 1.5)
    told: list[tuple[int, int, float]] = []
    one = encode_clips([*clips, region, *clips], jobs=1, progress=lambda *state: told.append(state))
    two = encode_clips([region, *clips], jobs=2)
    assert told == [(n, 3, told[n - 1][2]) for n in (1, 2, 3)]
    assert told[-1][2] == pytest.approx(5)
    assert [space.name for space in one.spaces] == SPACES
    for name in SPACES:
        assert np.array_equal(one.rows[name], two.rows[name])
        assert one.rows[name][one.place[region]].any()


def test_one_bad_clip_or_model_is_one_clear_error(made: Callable[..., Path], tmp_path: Path) -> None:
    good = full_span(made("good.wav", seconds=1))
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    with pytest.raises(AudioError, match="bad.wav: "):
        encode_clips([good, full_span(tmp_path / "bad.wav")], jobs=1)
    with pytest.raises(ModelError, match="unknown model 'nope'; installed: "):
        encode_clips([good], "nope")


# Probes -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def probes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two songs, and a silent clip: melodies kept in another sound, sounds kept in another melody."""
    folder = tmp_path_factory.mktemp("probes")
    for song, (one, two) in {"first": ("up", "leaps"), "second": ("down", "pedal")}.items():
        for name in (one, two):
            write(folder / f"{name}.dull.wav", tune(TUNES[name], seconds=4, harmonics=1))
            write(folder / f"{name}.rich.wav", tune([n + 2 for n in TUNES[name]], seconds=4, harmonics=12, drums=()))
        probes = [
            {
                "probe": "timbre",
                "anchor": f"{one}.dull.wav",
                "positive": f"{two}.dull.wav",
                "negative": f"{one}.rich.wav",
            },
            {
                "probe": "melody",
                "anchor": f"{one}.dull.wav",
                "positive": f"{one}.rich.wav",
                "negative": f"{two}.rich.wav",
            },
            {"probe": "melody", "anchor": "silence.wav", "positive": f"{one}.rich.wav", "negative": f"{two}.rich.wav"},
        ]
        known = json.loads((folder / "triplets.json").read_text()) if (folder / "triplets.json").exists() else []
        (folder / "triplets.json").write_text(json.dumps(known + [{"song": song, **probe} for probe in probes]))
    write(folder / "silence.wav", np.zeros(22050, np.float32))
    return folder


def test_probes_from_folder_to_report(probes: Path) -> None:
    report, difference = evaluate("probes", "--data", probes, "--against", "compact")
    assert report.columns == ("melody", "timbre")
    assert list(report.rows) == SPACES
    assert report.n.tolist() == [[4, 2]] * 4
    assert report.chance.tolist() == [50, 50]
    # Right wherever there is something to hear, half where there is not.
    assert report.values[0, 0] == 75
    assert report.values[2, 1] == 100
    assert "melody 2, rhythm 2, timbre 2, harmony 2 of 6" in report.notes[1]
    assert "2 songs" in report.notes[0]
    assert "minus" in difference.title
    assert not difference.values.any() and not difference.low.any() and not difference.chance.any()
    (again_,) = evaluate("probes", "--data", probes)
    assert np.array_equal(again_.values, report.values) and np.array_equal(again_.low, report.low)


def test_one_song_says_nothing_about_the_spread_of_songs(probes: Path) -> None:
    listed = probes / "triplets.json"
    before = listed.read_text()
    listed.write_text(before.replace('"second"', '"first"'))
    try:
        (report,) = evaluate("probes", "--data", probes)
    finally:
        listed.write_text(before)
    assert np.isnan(report.low).all() and not np.isnan(report.values).any()


def entry(**changes: object) -> str:
    known = {"probe": "melody", "song": "s", "anchor": "a.wav", "positive": "a.wav", "negative": "a.wav"}
    return json.dumps([known | changes])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "triplets.json cannot be read: No such file"),
        ("{", "is damaged: not JSON"),
        ("{}", "holds no list of triplets"),
        ("[]", "holds no list of triplets"),
        ("[3]", "triplet 1 needs the texts probe, song, anchor, positive, negative; found 3"),
        (entry(song=4), "triplet 1 needs the texts"),
        (entry(probe=""), "triplet 1 needs the texts"),
        (entry(positive="b.wav"), "names 1 clips of 2 that are not there, such as .*b.wav"),
    ],
)
def test_a_damaged_list_of_probes(tmp_path: Path, content: str | None, message: str) -> None:
    (tmp_path / "a.wav").write_bytes(b"")
    if content is not None:
        (tmp_path / "triplets.json").write_text(content)
    with pytest.raises(UsageError, match=message) as caught:
        read_probes(tmp_path)
    assert "\n" not in str(caught.value)


def test_probes_need_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none does not exist; give a folder with clips and triplets.json"):
        read_probes(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file is a file; give a folder"):
        read_probes(tmp_path / "file")


@pytest.mark.data
def test_the_real_probes_can_be_read(data: Path) -> None:
    triplets = read_probes(data / "probes")
    assert {one.space for one in triplets} == set(SPACES)
    assert len({one.group for one in triplets}) == 13


# Triplet folders ----------------------------------------------------------------------------------------------------


def clip(*parts: int, harmonics: int) -> np.ndarray:
    return tune([60 + part for part in parts], seconds=3, harmonics=harmonics)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """melody/triplets_{1,2} with two positives, the first with an adversarial negative; timbre/triplets_1."""
    root = tmp_path_factory.mktemp("folders")
    for number, notes in (("1", (0, 2, 4, 5)), ("2", (12, 0, 7, 1))):
        place = root / "melody" / f"triplets_{number}" / "triplet"
        write(place / "anchor.wav", clip(*notes, harmonics=3))
        write(place / "positive_01.wav", clip(*notes, harmonics=10))
        write(place / "positive_02.wav", clip(*[note + 3 for note in notes], harmonics=1))
        write(place / "negative.wav", clip(0, 6, 6, 1, harmonics=10))
        (place / "triplet_meta.json").write_text("{}")
    write(root / "melody" / "triplets_1" / "triplet" / "negative_adversarial.wav", clip(0, 6, 6, 1, harmonics=3))
    place = root / "timbre" / "triplets_1" / "triplet"
    for name, harmonics in (("anchor", 1), ("positive_01", 1), ("negative", 12)):
        write(place / f"{name}.wav", clip(0, 2 * harmonics, 4, harmonics=harmonics))
    (root / "split.json").write_text(json.dumps({"train": ["triplets_1"], "test": ["triplets_2"]}))
    return root


def test_triplet_folders_from_disk_to_report(folders: Path) -> None:
    accuracy, published, margin = evaluate("triplets", folders)
    assert accuracy.columns == ("melody", "melody, adversarial", "timbre")
    assert accuracy.n[0].tolist() == [4, 2, 1]
    assert accuracy.values[0, :2].tolist() == [100, 100]
    assert accuracy.values[2, 2] == 100
    assert np.isnan(accuracy.low[:, 1:]).all(), "one folder says nothing about the spread of folders"
    assert np.array_equal(accuracy.values, published.values)
    assert not np.isnan(published.low).any()
    assert margin.values[0, 0] > 0 and margin.unit == "" and margin.chance.tolist() == [0, 0, 0]


def test_a_split_and_the_level_of_factors(folders: Path) -> None:
    report = evaluate("triplets", folders, "--split", f"melody={folders / 'split.json'}", "--part", "test")[0]
    assert report.columns == ("melody", "timbre")
    assert report.n[0].tolist() == [2, 1]
    assert "--split FILE --part test" in report.command
    train = read_triplets(folders / "melody", [read_split(str(folders / "split.json"), "train")])
    assert {one.space for one in train} == {"melody"}
    assert {one.group for one in train} == {"melody/triplets_1"}
    assert [one.kind for one in train] == ["neutral"] * 2 + ["adversarial"] * 2


def test_mistakes_with_triplet_folders(folders: Path, tmp_path: Path) -> None:
    split = str(folders / "split.json")
    with pytest.raises(UsageError, match="holds no triplets; expected DIR/<factor>"):
        read_triplets(tmp_path)
    with pytest.raises(UsageError, match="a split is for 'mood', but .* holds melody, timbre"):
        read_triplets(folders, [("mood", frozenset())])
    with pytest.raises(UsageError, match="the split names 1 folders that .*timbre lacks, such as triplets_2"):
        read_triplets(folders, [read_split(split, "test")])
    with pytest.raises(UsageError, match="leaves no triplet"):
        read_triplets(folders, [(None, frozenset())])
    with pytest.raises(UsageError, match="has no list 'valid'; it holds train, test"):
        read_split(split, "valid")
    with pytest.raises(UsageError, match="none.json cannot be read"):
        read_split(str(tmp_path / "none.json"), "test")
    (tmp_path / "bad.json").write_text("[")
    with pytest.raises(UsageError, match="bad.json is damaged: not JSON"):
        read_split(f"melody={tmp_path / 'bad.json'}", "test")
    (tmp_path / "triplets_1" / "triplet").mkdir(parents=True)
    write(tmp_path / "triplets_1" / "triplet" / "anchor.wav", np.zeros(9))
    with pytest.raises(UsageError, match="holds no negative.wav; expected anchor"):
        read_triplets(tmp_path)
