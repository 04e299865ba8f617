"""Judgements of listeners as triplets: majorities, the split, and which segments a network hears."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from toy_songs import RANGES, RATE, toy_material

from soundalike.core.errors import UsageError
from soundalike.train.metric.material import Material
from soundalike.train.metric.preferences import (
    JudgedSegments,
    Judgement,
    Place,
    Preference,
    find_preferences,
    read_listeners,
    sounds,
    split_preferences,
)

NAMES = tuple(RANGES)
SECONDS = 0.3


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return toy_material(tmp_path_factory.mktemp("songs"))


def judgement(votes: tuple[int, int] = (9, 1), instrument: str = "bass", songs: str = "012") -> Judgement:
    reference, *samples = (Place(f"validation{song}", 0.1 * number) for number, song in enumerate(songs))
    return Judgement(instrument, "XAB", reference, (samples[0], samples[1]), votes)


def many(count: int = 20) -> list[Preference]:
    random = np.random.default_rng(0)
    found = []
    for instrument, test, number in product(NAMES, ("XAB", "XYC"), range(count)):
        songs = [str(song) for song in random.choice(12, 3, replace=False)]
        x, p, n = (Place(song, number / 10) for song in songs)
        found.append(Preference(instrument, test, x, p, n, (8, 1)))
    return found


def test_a_majority_is_strictly_more_than_three_quarters() -> None:
    for first, second in product(range(10), repeat=2):
        found = judgement((first, second)).preference()
        total = first + second
        agreed = total > 0 and Fraction(max(first, second), total) > Fraction(3, 4)
        assert (found is not None) == agreed
        if found:
            preferred, other = ("validation1", "validation2") if first > second else ("validation2", "validation1")
            assert (found.anchor.song, found.positive.song, found.negative.song) == ("validation0", preferred, other)
            assert found.votes == (max(first, second), min(first, second))


def test_the_published_labels_are_read_per_instrument(tmp_path: Path) -> None:
    columns = ["ex_name", "subject_id", "reference", "sample_a", "sample_b"]
    columns += ["answer_timbre", "answer_rhythm", "answer_melody", "answer_total"]
    rows, config = [], {}
    for number, (instrument, test, roles) in enumerate(
        [("residuals", "test1", "XYC"), ("drums", "test2", "XAB"), ("mix", "test2", "XAB")]
    ):
        ids = (7, 7, 9) if test == "test1" else (7, 8, 9)
        names = [f"{role}_{song}-{number}.wav" for role, song in zip(roles, ids, strict=True)]
        paths = [f"set1/{number}/{instrument}/{name}" for name in names]
        for listener in range(8):
            answer = "A+" if listener < 7 else "B-"
            rows.append(["ex", f"s{listener}", *paths, "NA", "NA", "NA", answer])
        config[str(number)] = {test: {instrument: {
            role: {"ID": song, "filename": name, "sr": 100, "index_s": 50 * at, "index_e": 547}
            for at, (role, song, name) in enumerate(zip(roles, ids, names, strict=True))}}}  # fmt: skip
    for path, text in {
        "csvs/inst_sim_abx_answers.csv": "\n".join(",".join(row) for row in [columns, *rows]) + "\n",
        "sample_configs/dict_triplet_1.json": json.dumps({"1": config}),
    }.items():
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).write_text(text)
    found = {one.instrument: one for one in read_listeners(tmp_path, ("drums", "bass", "other"))}
    assert set(found) == {"drums", "other"}
    assert found["drums"].reference == Place("Track00007", 0.0)
    assert found["drums"].samples == (Place("Track00008", 0.5), Place("Track00009", 1.0))
    assert found["drums"].votes == (7, 1) and found["drums"].test == "XAB"
    preferred = found["other"].preference()  # listeners chose A, which is Y, the same song
    assert preferred and preferred.test == "XYC" and preferred.positive.song == preferred.anchor.song == "Track00007"


def test_the_split_is_seven_to_three_for_every_instrument_and_test() -> None:
    preferences = many()
    trained, tested = split_preferences(preferences, 1)
    assert sorted([*trained, *tested], key=str) == sorted(preferences, key=str)
    for part, share in ((trained, 14), (tested, 6)):
        counts = Counter((one.instrument, one.test) for one in part)
        assert counts == {(name, test): share for name in NAMES for test in ("XAB", "XYC")}
    assert split_preferences(preferences, 1) == (trained, tested) != split_preferences(preferences, 2)


def test_a_split_by_songs_shares_no_song() -> None:
    trained, tested = split_preferences(many(60), 0, "song")
    heard = [{place.song for one in part for place in one.places} for part in (trained, tested)]
    assert trained and tested and not heard[0] & heard[1]


def test_only_triplets_of_audible_segments_of_known_songs_are_used(material: Material) -> None:
    pieces = material.songs["validation"]
    silent = replace(pieces[3], active=np.zeros_like(pieces[3].active))
    songs = (*pieces[:3], silent)
    judged = [judgement(), judgement(songs="013"), judgement(songs="019"), judgement((3, 1))]
    found = find_preferences(judged, songs, SECONDS, NAMES)
    assert found == (judged[0].preference(),)
    late = replace(judged[0], reference=Place("validation0", 99.0))
    with pytest.raises(UsageError, match=r"none of 1 judgements with a majority is about segments of 4 songs"):
        find_preferences([late], songs, SECONDS, NAMES)


def test_where_an_instrument_sounds_agrees_with_a_loop(material: Material) -> None:
    piece = material.songs["validation"][0]
    blocks = piece.active.shape[1]
    random = np.random.default_rng(3)
    active = random.random(piece.active.shape) < 0.15
    piece = replace(piece, active=active)
    for start in range(blocks):
        expected = any(active[1, block] for block in range(start, min(start + 3, blocks)))
        assert sounds(piece, 1, start * 0.1 + 1e-6, 0.3 - 2e-6) == expected


@pytest.mark.parametrize("instrument", NAMES)
def test_pseudo_pieces_keep_the_judged_target_and_draw_the_rest_from_other_songs(
    material: Material, instrument: str
) -> None:
    train, judged_songs = material.songs["train"], material.songs["validation"]
    judged = JudgedSegments(judged_songs, train, NAMES, SECONDS)
    preferences = [
        found
        for songs in ("012", "120", "331")
        if (found := judgement(instrument=instrument, songs=songs).preference())
    ]
    target = NAMES.index(instrument)
    rng = np.random.default_rng(0)
    for one, triplet in zip(preferences, judged.triplets(preferences, "pseudo", rng), strict=True):
        rests = []
        assert triplet.target == target
        for place, mixed in zip(one.places, triplet.roles, strict=True):
            own = mixed.cuts[target]
            assert judged.segments.pieces[own.piece].name == place.song
            assert own.start == round(place.start * RATE)
            (rest,) = {cut for kind, cut in enumerate(mixed.cuts) if kind != target}
            assert judged.segments.pieces[rest.piece].name.startswith("train")
            rests.append(rest)
        anchor, positive, negative = rests
        assert anchor.piece == negative.piece != positive.piece
        assert abs(anchor.start - negative.start) >= judged.segments.length
    again = judged.triplets(preferences, "pseudo", np.random.default_rng(0))
    assert again == judged.triplets(preferences, "pseudo", np.random.default_rng(0))


def test_normal_input_is_all_of_the_judged_song(material: Material) -> None:
    judged = JudgedSegments(material.songs["validation"], material.songs["train"], NAMES, SECONDS)
    preference = judgement((0, 5)).preference()
    assert preference
    (triplet,) = judged.triplets([preference], "normal", np.random.default_rng(0))
    for place, mixed in zip(preference.places, triplet.roles, strict=True):
        assert mixed.cuts == (judged.cut(place),) * len(NAMES)


def test_too_few_songs_for_the_rest_are_named(material: Material) -> None:
    judged = JudgedSegments(material.songs["validation"], material.songs["train"][:1], NAMES, SECONDS)
    preference = judgement().preference()
    assert preference
    with pytest.raises(UsageError, match="too few songs for the rest of pseudo-pieces: 1, and two are needed"):
        judged.triplets([preference], "pseudo", np.random.default_rng(0))
