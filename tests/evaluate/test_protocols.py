"""The contract of every protocol, the rule for triplets, and the two triplet protocols from folder to report."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from conftest import TUNES, tune, write
from soundalike.cli.evaluate import protocol_command
from soundalike.core import plugins
from soundalike.core.errors import AudioError, ModelError, UsageError
from soundalike.core.types import Calibration, FloatArray, Report, Space, Span, Triplet
from soundalike.evaluate.base import (
    EncodedClips,
    encode_clips,
    full_span,
    margins,
    model_report,
    order_columns,
    triplet_outcome,
)
from soundalike.evaluate.estimates import Estimate
from soundalike.evaluate.protocols.probes import inaudible_triplets, read_probes
from soundalike.evaluate.protocols.triplets import read_split, read_triplets
from soundalike.models import Model, load_recipe
from soundalike.train.published import install_stems, plan_joined

MEMBERS = plugins.names("protocols")
SPACES = ["melody", "rhythm", "timbre", "harmony"]


def evaluate(*arguments: object) -> tuple[Report, ...]:
    """Parse the arguments of `evaluate` and run the protocol, without printing."""
    name, *options = map(str, arguments)
    protocol = plugins.load("protocols", name)
    context = protocol_command(name).make_context(name, [*options, "--jobs", "1"])
    found: tuple[Report, ...] = protocol.run(SimpleNamespace(**context.params))
    for report in found:
        shape = (len(report.rows), len(report.columns))
        assert report.values.shape == report.low.shape == report.high.shape == report.n.shape == shape
        assert report.chance.shape == shape[1:]
        assert report.protocol == name and report.model == "compact" and report.title and report.notes
        assert report.command.startswith(f"soundalike evaluate {name} ")
        assert "/" not in report.command + report.title
        known = ~np.isnan(report.low)
        assert (report.low[known] <= report.values[known] + 1e-9).all()
        assert (report.values[known] <= report.high[known] + 1e-9).all()
        if report.unit == "%":
            assert ((report.values >= 0) & (report.values <= 100)).all() or "minus" in report.title
    return found


# The contract -------------------------------------------------------------------------------------------------------


def test_bundled_protocols() -> None:
    assert set(MEMBERS) >= {"abx", "probes", "render", "retrieval", "self", "triplets"}
    assert set(MEMBERS) >= {"ballroom", "covers80", "jamendo", "musdb"}


@pytest.mark.parametrize("name", MEMBERS)
def test_protocols_keep_the_contract(name: str) -> None:
    protocol = plugins.load("protocols", name)
    assert protocol.name == name.replace("_", "-")  # as it is typed; a module has no hyphen
    assert 10 < len(protocol.summary) < 100 and "\n" not in protocol.summary
    own = {option.name for option in protocol.options()}
    assert own and not own & {"model", "seed", "jobs", "as_json", "save", "plot", "notes"}
    assert all(option.help for option in protocol.options())


def test_protocols_load_nothing_heavy() -> None:
    code = (
        "import sys; from soundalike.core import plugins; import soundalike.cli.evaluate\n"
        "for name in plugins.names('protocols'): plugins.load('protocols', name)\n"
        "heavy = ('torch', 'av', 'soundfile', 'soxr', 'scipy', 'safetensors', 'matplotlib')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# What protocols share -----------------------------------------------------------------------------------------------


def encoded_rows(rows: np.ndarray, mu: float = 0.1) -> tuple[EncodedClips, list[Span]]:
    """n clips whose rows (n, d) in the only space `melody` are given, and their spans."""
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
def test_triplet_outcomes_equal_a_plain_loop(numbers: list[tuple[int, int, int]], seed: int) -> None:
    rows = np.random.default_rng(seed).standard_normal((8, 4)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[2] = rows[5] = 0
    encoded, clips = encoded_rows(rows)
    triplets = [Triplet(clips[a], clips[p], clips[n], "melody") for a, p, n in numbers]
    margin = margins(encoded, triplets)
    expected = [naive_margin(rows, a, p, n, 0.1) for a, p, n in numbers]
    assert margin[:, 0] == pytest.approx(expected, abs=1e-6)
    outcomes = triplet_outcome(margin)[:, 0]
    inaudible = inaudible_triplets(encoded, triplets)[:, 0]
    for (a, p, n), outcome, undecided, gap in zip(numbers, outcomes, inaudible, expected, strict=True):
        assert undecided == (a in (2, 5) or (p in (2, 5) and n in (2, 5)))
        if undecided or p == n:
            assert outcome == 0.5
        elif abs(gap) > 1e-6:
            assert outcome == (1.0 if gap > 0 else 0.0)


def test_all_similarities_follow_the_same_rule() -> None:
    rows = np.array([[1, 0], [0.6, 0.8], [0, 0]])
    encoded, clips = encoded_rows(rows)
    assert encoded.similarities(encoded.spaces[0]) == pytest.approx(
        np.array([[1, 0.6, 0.1], [0.6, 1, 0.1], [0.1, 0.1, 0.1]])
    )
    assert encoded.positions([clips[2], clips[0]]).tolist() == [2, 0]
    assert encoded.audible(encoded.spaces[0]).tolist() == [True, True, False]


def test_columns_follow_the_spaces_and_commands_omit_defaults() -> None:
    encoded, _ = encoded_rows(np.eye(2))
    assert order_columns(["mood", "melody", "mood"], encoded) == ["melody", "mood"]
    column = {"melody": Estimate(*np.array([[0.5], [0.4], [0.6]]), n=np.array([3]))}
    default, seeded = (
        model_report(encoded, SimpleNamespace(seed=seed), column, "t", protocol="self", options=options, chance=50.0)
        for seed, options in ((0, "LIBRARY"), (3, ""))
    )
    assert default.command == "soundalike evaluate self LIBRARY --model m"
    assert seeded.command == "soundalike evaluate self --model m --seed 3"
    assert default.rows == ("melody",) and default.chance.tolist() == [50] and default.unit == "%"
    assert default.notes == ("Model digest 0123456789ab.",)


def test_every_clip_is_encoded_once_in_any_number_of_processes(made: Callable[..., Path]) -> None:
    clips = [full_span(made(f"{name}.wav", TUNES[name], seconds=2)) for name in ("up", "leaps")]
    region = Span(clips[0].track, 0.5, 1.5)
    calls: list[tuple[int, int, float]] = []
    serial = encode_clips([*clips, region, *clips], jobs=1, progress=lambda *state: calls.append(state))
    parallel = encode_clips([region, *clips], jobs=2)
    assert calls == [(n, 3, calls[n - 1][2]) for n in (1, 2, 3)]
    assert calls[-1][2] == pytest.approx(5)
    assert [space.name for space in serial.spaces] == SPACES
    for name in SPACES:
        assert np.array_equal(serial.rows[name], parallel.rows[name])
        assert serial.rows[name][serial.index[region]].any()


def test_an_unreadable_clip_or_unknown_model_is_one_clear_error(made: Callable[..., Path], tmp_path: Path) -> None:
    good = full_span(made("good.wav", seconds=1))
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    with pytest.raises(AudioError, match="bad.wav: "):
        encode_clips([good, full_span(tmp_path / "bad.wav")], jobs=1)
    with pytest.raises(ModelError, match="unknown model 'nope'; installed: "):
        encode_clips([good], "nope")


# Probes -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def probes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two songs and a silent clip: the same melody with another timbre, the same timbre with another melody."""
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
    # Right where the clips are audible, half where they are not.
    assert report.values[0, 0] == 75
    assert report.values[2, 1] == 100
    assert "melody 2, rhythm 2, timbre 2, harmony 2 of 6" in report.notes[1]
    assert "2 songs" in report.notes[0]
    assert "minus" in difference.title
    assert not difference.values.any() and not difference.low.any() and not difference.chance.any()
    (repeated,) = evaluate("probes", "--data", probes)
    assert np.array_equal(repeated.values, report.values) and np.array_equal(repeated.low, report.low)


def test_one_probe_alone(probes: Path) -> None:
    (alone,) = evaluate("probes", "--data", probes, "--probe", "timbre")
    assert alone.columns == ("timbre",) and alone.title == "Probes: 2 triplets of 6 clips"
    assert alone.values[SPACES.index("timbre"), 0] == 100
    assert alone.command == "soundalike evaluate probes --data DIR --probe timbre --model compact"
    with pytest.raises(UsageError, match="has no probe rhythm; it has timbre, melody"):
        evaluate("probes", "--data", probes, "--probe", "rhythm")


def test_melody_on_the_vocals_beside_that_of_the_mix(probes: Path, halves: Path) -> None:
    install_stems(plan_joined("dsp", "halves"), [])

    def run(*options: object) -> tuple[Report, ...]:
        given = ["--data", str(probes), "--probe", "melody", "--model", "dsp-stems", "--jobs", "1", *map(str, options)]
        context = protocol_command("probes").make_context("probes", given)
        found: tuple[Report, ...] = plugins.load("protocols", "probes").run(SimpleNamespace(**context.params))
        return found

    weights = "melody=1,vocals.melody=1"
    report, difference = run("--fusion", "--weights", weights, "--against", "dsp")
    assert report.rows[:5] == (*SPACES, "vocals.melody") and report.rows[-1] == "melody to vocals.melody"
    # The rows by plain loops: the anchor on the mix or on its stem, the others on their stem.
    model = Model.load("dsp-stems")
    mu = model.recipe.space("melody").calibration["track"].mu

    @cache
    def rows(path: str) -> Mapping[str, FloatArray]:
        return model.encode(path).track.rows

    def cosine(one: FloatArray, other: FloatArray) -> float:
        return float(one @ other) if one.any() and other.any() else mu

    outcomes = []
    for triplet in read_probes(probes):
        if triplet.space == "melody":
            clips = (triplet.anchor, triplet.positive, triplet.negative)
            mixes, vocals = ([rows(clip.track)[name][0] for clip in clips] for name in ("melody", "vocals.melody"))
            gains = [
                cosine(anchor, others[1]) - cosine(anchor, others[2])
                for anchor, others in ((vocals[0], vocals), (mixes[0], vocals), (mixes[0], mixes))
            ]
            outcomes.append(np.heaviside([gains[0], gains[1], gains[0] + gains[2]], 0.5))
    names = ("vocals.melody", "melody to vocals.melody", "fused scores: weighted mean")
    at = [report.rows.index(name) for name in names]
    assert report.values[at, 0] == pytest.approx(100 * np.mean(outcomes, axis=0))
    # Rows that the other model does not have are compared with its melody.
    melody = run("--model", "dsp")[0].values[SPACES.index("melody"), 0]
    assert difference.rows == report.rows
    assert difference.values[at, 0] == pytest.approx(report.values[at, 0] - melody)
    assert difference.values[difference.rows.index("rhythm"), 0] == 0


def test_a_space_for_everything_is_compared_with_the_space_that_is_named_as_the_probe(
    probes: Path, tmp_path: Path
) -> None:
    """The model is a copy of another one's timbre under the name `overall`, so they are equal on timbre."""
    bundled = load_recipe("dsp").weights.parent
    body = json.loads((bundled / "recipe.json").read_text())
    (timbre,) = [space for space in body["spaces"] if space["name"] == "timbre"]
    tensors = load_file(bundled / "weights.safetensors")
    renamed = {name.replace("timbre", "overall"): t for name, t in tensors.items() if name.startswith("timbre")}
    save_file(renamed, tmp_path / "weights.safetensors")
    digest = hashlib.sha256((tmp_path / "weights.safetensors").read_bytes()).hexdigest()
    body |= {"name": "one", "weights_sha256": digest, "spaces": [{**timbre, "name": "overall"}]}
    (tmp_path / "recipe.json").write_text(json.dumps(body))

    def run(*options: object) -> tuple[Report, ...]:
        given = ["--data", str(probes), "--jobs", "1", *map(str, options)]
        context = protocol_command("probes").make_context("probes", given)
        found: tuple[Report, ...] = plugins.load("protocols", "probes").run(SimpleNamespace(**context.params))
        return found

    report, difference = run("--model", tmp_path, "--against", "dsp")
    (dsp,) = run("--model", "dsp")
    assert difference.rows == report.rows == ("overall",)
    for column, probe in enumerate(difference.columns):
        row = dsp.rows.index(probe)
        expected = report.values[0, column] - dsp.values[row, dsp.columns.index(probe)]
        assert difference.values[0, column] == pytest.approx(expected)
    assert difference.values[0, difference.columns.index("timbre")] == 0


def test_one_song_gives_no_interval(probes: Path) -> None:
    file = probes / "triplets.json"
    original = file.read_text()
    file.write_text(original.replace('"second"', '"first"'))
    try:
        (report,) = evaluate("probes", "--data", probes)
    finally:
        file.write_text(original)
    assert np.isnan(report.low).all() and not np.isnan(report.values).any()


def entry(**changes: object) -> str:
    valid = {"probe": "melody", "song": "s", "anchor": "a.wav", "positive": "a.wav", "negative": "a.wav"}
    return json.dumps([valid | changes])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "triplets.json cannot be read: No such file"),
        ("{", "is not valid JSON"),
        ("{}", "holds no list of triplets"),
        ("[]", "holds no list of triplets"),
        ("[3]", "triplet 1 needs non-empty strings for probe, song, anchor, positive, negative; found 3"),
        (entry(song=4), "triplet 1 needs non-empty strings"),
        (entry(probe=""), "triplet 1 needs non-empty strings"),
        (entry(positive="b.wav"), "1 of 2 clips do not exist, such as .*b.wav"),
    ],
)
def test_invalid_lists_of_probes_are_rejected(tmp_path: Path, content: str | None, message: str) -> None:
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
def test_the_real_probes_are_valid(data: Path) -> None:
    triplets = read_probes(data / "probes")
    assert {triplet.space for triplet in triplets} == set(SPACES)
    assert len({triplet.group for triplet in triplets}) == 13


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
    accuracy, published, margin, distance = evaluate("triplets", folders)
    assert accuracy.columns == ("melody", "melody, adversarial", "timbre")
    assert accuracy.n[0].tolist() == [4, 2, 1]
    assert accuracy.values[0, :2].tolist() == [100, 100]
    assert accuracy.values[2, 2] == 100
    assert np.isnan(accuracy.low[:, 1:]).all(), "one folder gives no interval"
    assert np.array_equal(accuracy.values, published.values)
    everything = evaluate("triplets", folders, "--all-anchors")[0]
    assert everything.n[0].tolist() == [8, 4, 1]  # k squared per negative
    assert "--all-anchors" in everything.command
    assert not np.isnan(published.low).any()
    assert margin.values[0, 0] > 0 and margin.unit == "" and margin.chance.tolist() == [0, 0, 0]
    assert distance.columns[:2] == ("melody, d_AP", "melody, d_AN")
    assert distance.values[:, 1::2] - distance.values[:, 0::2] == pytest.approx(margin.values)


def test_a_split_and_the_level_of_factors(folders: Path) -> None:
    report = evaluate("triplets", folders, "--split", f"melody={folders / 'split.json'}", "--part", "test")[0]
    assert report.columns == ("melody", "timbre")
    assert report.n[0].tolist() == [2, 1]
    assert "--split FILE --part test" in report.command
    train = read_triplets(folders / "melody", [read_split(str(folders / "split.json"), "train")])
    assert {triplet.space for triplet in train} == {"melody"}
    assert {triplet.group for triplet in train} == {"melody/triplets_1"}
    assert [triplet.kind for triplet in train] == ["neutral"] * 2 + ["adversarial"] * 2


def test_invalid_triplet_folders_are_rejected(folders: Path, tmp_path: Path) -> None:
    split = str(folders / "split.json")
    with pytest.raises(UsageError, match="holds no triplets; expected DIR/<factor>"):
        read_triplets(tmp_path)
    with pytest.raises(UsageError, match="a split is for 'mood', but .* holds melody, timbre"):
        read_triplets(folders, [("mood", frozenset())])
    with pytest.raises(UsageError, match="1 folders of the split do not exist in .*timbre, such as triplets_2"):
        read_triplets(folders, [read_split(split, "test")])
    with pytest.raises(UsageError, match="selects no triplet"):
        read_triplets(folders, [(None, frozenset())])
    with pytest.raises(UsageError, match="has no list 'valid'; it holds train, test"):
        read_split(split, "valid")
    with pytest.raises(UsageError, match="none.json cannot be read"):
        read_split(str(tmp_path / "none.json"), "test")
    (tmp_path / "bad.json").write_text("[")
    with pytest.raises(UsageError, match="bad.json is not valid JSON"):
        read_split(f"melody={tmp_path / 'bad.json'}", "test")
    (tmp_path / "triplets_1" / "triplet").mkdir(parents=True)
    write(tmp_path / "triplets_1" / "triplet" / "anchor.wav", np.zeros(9))
    with pytest.raises(UsageError, match="holds no negative.wav; expected anchor"):
        read_triplets(tmp_path)
