"""Requests over the spaces of several models: against a full scan of all rows, and through every interface."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Never

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundalike.api import Library
from soundalike.api import open as open_library
from soundalike.cli.main import main
from soundalike.core.errors import UsageError
from soundalike.core.types import LEVELS, Level, Match
from soundalike.library.catalog.held import HeldModel
from soundalike.library.catalog.track import Track
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing.index import index_files
from soundalike.models import (
    Model,
    SearchSpaces,
    encode_with,
    explain,
    installed_spaces,
    join_encodings,
    load_once,
    load_recipe,
    mean_rows,
    query_terms,
)
from soundalike.models.heads import unit_rows
from soundalike.search import build_playlist, compare_encodings, find_path, find_versions
from soundalike.search.query import Example, Query
from soundalike.search.search import search_library

MODELS = ("compact", "dsp")
CORRECTED = "mutual-proximity"
TRACKS, ONLY_COMPACT, ONLY_DSP = 210, (3, 17, 40), (5, 99)
BOTH = [number for number in range(TRACKS) if number not in (*ONLY_COMPACT, *ONLY_DSP)]
FULL = [f"{model}/{space}" for model in MODELS for space in ("melody", "rhythm", "timbre", "harmony")]
NAMES = ["melody", "rhythm", "timbre", "harmony", *FULL[4:]]
weights = st.dictionaries(st.sampled_from(NAMES), st.sampled_from([-2.0, -0.3, 0.5, 1.0, 3.0]), min_size=1).filter(
    lambda one: any(name.startswith("dsp/") for name in one)
)


def passages_of(number: int) -> int:
    return 1 + number % 4


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of given rows, in which some tracks lack one of two models. Melodies of both models are the same."""
    folder = tmp_path_factory.mktemp("several")
    (folder / "music").mkdir()
    random = np.random.default_rng(0)
    sizes = {"track": [1] * TRACKS, "passage": [passages_of(number) for number in range(TRACKS)]}
    first = {level: np.cumsum([0, *counts]).tolist() for level, counts in sizes.items()}
    with LibraryFolder.create(folder / "library") as library:
        catalog = library.catalog
        with catalog.transaction():
            for model in map(load_once, MODELS):
                dims = [(space.name, level, space.dim) for space in model.spaces for level in LEVELS]
                catalog.put_model(model.name, HeldModel(model.recipe.digest, model.source), dims)
        library.refresh()
        made: dict[str, dict[str, np.ndarray]] = {level: {} for level in LEVELS}
        for model in map(load_once, MODELS):
            for space in model.spaces:
                part = unit_rows(random.standard_normal((sum(sizes["passage"]), space.dim)) + 0.3)
                part[random.random(len(part)) < 0.1] = 0
                if space.full_name == "dsp/melody":
                    part = unit_rows(made["passage"]["compact/melody"][:, :128].astype(np.float64))
                    made["passage"]["compact/melody"][:] = np.pad(part, ((0, 0), (0, 128)))
                made["passage"][space.full_name] = part.astype(np.float32)
        for name, part in made["passage"].items():
            runs = [part[low : low + size] for low, size in zip(first["passage"], sizes["passage"], strict=False)]
            made["track"][name] = np.stack([mean_rows({"row": run})["row"] for run in runs])
        for level, rows in made.items():
            for name, part in rows.items():
                library.store.write(level, name, 0, part)
        library.store.flush()
        with catalog.transaction():
            for model_name in MODELS:
                for level in LEVELS:
                    catalog.commit_rows(model_name, level, 0, sum(sizes[level]))
            for number in range(TRACKS):
                path = folder / "music" / f"{number}.mp3"
                path.touch()
                track = Track(
                    path, 0, path.stat().st_mtime_ns, str(number), str(number), 200.0, 44100, 2, "mp3",
                    f"title {number}", (), None, (), 1960 + number % 50, None, None, 120.0, "A minor", -10.0, False,
                )  # fmt: skip
                track_id = catalog.put_track(path.parent, track)
                for level in LEVELS:
                    catalog.assign_rows(track_id, level, first[level][number], sizes[level][number])
                for model_name, lacking in zip(MODELS, (ONLY_DSP, ONLY_COMPACT), strict=True):
                    if number not in lacking:
                        catalog.mark_encoded(track_id, model_name)
    return folder


@pytest.fixture(scope="module")
def several_api(place: Path) -> Iterator[Library]:
    with open_library(place / "library") as library:
        yield library


@pytest.fixture(scope="module")
def several(several_api: Library) -> LibraryFolder:
    return several_api.folder


def song(place: Path, number: int) -> Path:
    return place / "music" / f"{number}.mp3"


def full_scan(
    library: LibraryFolder, asked: Mapping[str, float], level: Level, number: int
) -> dict[int, tuple[float, float]]:
    """The key that tracks are ordered by and the score of every track that both models encoded, from all rows."""
    spaces = library.spaces(None, asked)
    used = spaces.weights(asked)
    with library.snapshot():
        reference = library.reference(spaces, level)
        places = {track: library.catalog.rows_of(track + 1, level) for track in range(TRACKS)}
        rows = library.rows(spaces.spaces, level, np.arange(sum(count for _, count in places.values())))
    first, count = places[number]
    query = mean_rows({name: part[first : first + count] for name, part in rows.items()})
    active = [name for name in query if used[name] and query[name].any()]
    scores, audible = np.zeros(len(rows["melody"])), np.zeros(len(rows["melody"]), bool)
    for name in active:
        there, one = rows[name].any(axis=1), reference.calibration(name)
        z = (rows[name].astype(float) @ query[name].astype(float) - one.mu) / one.sigma
        scores += used[name] * np.where(there, z, 0) / sum(abs(used[other]) for other in active)
        audible |= there
    null = reference.null([(1.0, query_terms(reference.spaces, query, used, level))])
    found = {}
    for track in BOTH:
        first, count = places[track]
        own = scores[first : first + count][audible[first : first + count]]
        if len(own):
            key = own.max() if level == "track" else len(own) * float(null.log_cdf(own.max()))
            found[track] = (key, own.max())
    return found


@settings(max_examples=6, deadline=None)
@given(asked=weights, number=st.sampled_from(BOTH), level=st.sampled_from(LEVELS))
def test_the_best_of_a_full_scan_are_found(several, place, asked, number: int, level: Level) -> None:
    """For weights of any sign; shares sum to the score, and tracks that lack a model are left out."""
    try:
        found = search_library(several, Query(song(place, number), weights=asked, by=level, k=20))
    except UsageError as error:
        assert "no audible content" in str(error)
        return
    expected = full_scan(several, asked, level, number)
    del expected[number]
    numbers = [number_of(match) for match in found]
    assert [expected[one][0] for one in numbers] == pytest.approx(
        sorted((key for key, _ in expected.values()), reverse=True)[:20], abs=1e-5
    )
    for match in found:
        assert match.score == pytest.approx(expected[number_of(match)][1], abs=1e-5)
        assert sum(part.share for part in match.spaces.values()) == pytest.approx(match.score, abs=1e-9)
        assert list(match.spaces) == list(found.weights)
    assert (found.model, found.models) == ("compact", MODELS)
    assert found.not_encoded == {"compact": len(ONLY_DSP), "dsp": len(ONLY_COMPACT)}
    assert {name: weight for name, weight in found.weights.items() if weight} == asked
    assert (found.reference, found.recordings, found.searched) == ("library", len(BOTH), len(BOTH) - 1)


def number_of(match: Match) -> int:
    return int(Path(match.path).stem)


def test_every_interface_gives_the_same_answer(several, several_api, place, capsys) -> None:
    pytest.importorskip("fastapi")
    from fastapi.testclient import TestClient

    from soundalike.serve import create_app

    asked = {"melody": 1.0, "dsp/rhythm": -2.0, "dsp/timbre": 0.5}
    text = ",".join(f"{name}={weight:g}" for name, weight in asked.items())
    bound = {"dsp/harmony": 20.0}
    for level in LEVELS:
        expected = search_library(several, Query(song(place, 8), weights=asked, by=level, k=7, at_least=bound))
        assert len(expected) == 7
        assert all(match.spaces["dsp/harmony"].percentile >= 20 for match in expected)
        by_api = several_api.search(song(place, 8), weights=text, by=level, k=7, at_least=bound)
        assert (by_api.matches, by_api.models) == (expected.matches, MODELS)
        body = {"query": {"track": 9}, "weights": asked, "by": level, "k": 7, "at_least": bound}
        with TestClient(create_app(several_api), base_url="http://127.0.0.1") as client:
            records = [client.post("/api/v1/search", json=body).json()]
        if level == "passage":
            command = ["search", str(song(place, 8)), "-w", text, "--by", level, "-k", "7", "--json"]
            assert main([*command, "--at-least", "dsp/harmony=20", "--library", str(place / "library")]) == 0
            records.append(json.loads(capsys.readouterr().out))
        for record in records:
            assert record["models"] == ["compact", "dsp"]
            assert record["not_encoded"] == {"compact": 2, "dsp": 3}
            assert [one["path"] for one in record["matches"]] == [match.path for match in expected]
            for one, match in zip(record["matches"], expected, strict=True):
                assert one["score"] == match.score == pytest.approx(sum(s["share"] for s in one["spaces"].values()))
    assert main(["search", str(song(place, 8)), "-w", text, "--library", str(place / "library")]) == 0
    table = capsys.readouterr()
    assert "models compact, dsp" in table.out
    assert "3 tracks, not encoded by dsp; add with: soundalike index --model dsp DIR" in table.err


def test_random_pairs_are_the_same_in_all_models(several: LibraryFolder) -> None:
    """The melodies of both models are the same here, so the score of both together is distributed as that of one."""
    both = several.spaces(None, ["dsp/melody"])
    for level in LEVELS:
        reference = several.reference(both, level)
        assert np.array_equal(reference.sample.similarity["melody"], reference.sample.similarity["dsp/melody"])
        row = {name: np.eye(1, 256)[0] for name in ("melody", "dsp/melody")}
        nulls = [
            reference.null(
                [(1.0, query_terms([one for one in reference.spaces if one.name in row], row, asked, level))]
            )
            for asked in ({"melody": 1.0}, {"melody": 1.0, "dsp/melody": 1.0})
        ]
        scores = np.linspace(-2, 4, 20)
        assert nulls[0].log_cdf(scores) == pytest.approx(nulls[1].log_cdf(scores), abs=0.02)
    # Spaces that a request does not name change nothing.
    more = several.reference(several.spaces(None, ["dsp/melody", "dsp/timbre"]), "track")
    assert more.calibration("dsp/melody") == several.reference(both, "track").calibration("dsp/melody")


def test_tracks_that_lack_a_model_are_counted_under_the_conditions(several: LibraryFolder, place: Path) -> None:
    found = search_library(several, Query(song(place, 8), weights="melody,dsp/melody", where="year = 1963", k=300))
    assert found.not_encoded == {"dsp": 1}, "track 3"
    assert {number_of(match) for match in found} == {53, 103, 153, 203}
    alone = search_library(several, Query(song(place, 8), weights="dsp/melody", model="dsp", k=300))
    assert (alone.models, alone.not_encoded, alone.searched) == (("dsp",), {}, TRACKS - len(ONLY_COMPACT) - 1)


def test_a_query_that_lacks_a_model_is_encoded_by_it(library, stocked, music, tmp_path) -> None:
    """The library of `music` holds compact alone; two tracks are encoded by dsp too in a copy of it."""
    shutil.copytree(stocked, tmp_path / "library")
    with LibraryFolder.create(tmp_path / "library") as writer:
        index_files(writer, [music / "up" / "1.wav", music / "up" / "2.wav"], model="dsp")
    with LibraryFolder(tmp_path / "library") as both:
        spaces, path = both.spaces(None, ["dsp/rhythm"]), music / "down" / "0.wav"
        weights = {"melody": 1, "dsp/rhythm": 1}
        whole = search_library(both, Query(path, weights=weights))  # its rows of compact are stored
        found = search_library(both, Query(path, start=1.0, end=9.0, weights=weights))
        for results in (whole, found):
            assert {match.path for match in results} == {str(music / "up" / f"{number}.wav") for number in (1, 2)}
        a, b = (
            join_encodings(spaces, encode_with(spaces.models, file, start=start, end=end))
            for file, start, end in ((path, 1.0, 9.0), (Path(found[0].path), 0.0, None))
        )
        told = compare_encodings(spaces, a, b, found.weights, level="passage").match
        assert (told.score, told.span) == (pytest.approx(found[0].score, abs=1e-5), found[0].span)
    with pytest.raises(UsageError, match="unknown space 'dsp/rhythm'; known: melody, rhythm, timbre, harmony$"):
        search_library(library, Query(music / "down" / "0.wav", weights="dsp/rhythm"))


def test_examples_hubness_paths_and_playlists_follow(several, place) -> None:
    examples = (Example(song(place, 12), weights="dsp/rhythm"), Example(song(place, 20), like=False))
    found = search_library(several, Query(song(place, 8), weights="melody", by="track", k=5, examples=examples))
    assert list(found.weights) == [*NAMES[:4], "dsp/rhythm"]
    for match in found:
        assert [list(one.spaces) for one in match.examples] == [[*NAMES[:4], "dsp/rhythm"]] * 3
        assert sum(part.share for part in match.spaces.values()) == pytest.approx(match.score)
        alone = [
            compared(several, number, number_of(match), asked)
            for number, asked in ((8, "melody"), (12, "dsp/rhythm"), (20, "melody"))
        ]
        assert match.score == pytest.approx((alone[0] + alone[1] - alone[2]) / 3, abs=1e-5)
    corrected = search_library(
        several, Query(song(place, 8), weights="melody=2,dsp/rhythm=1", k=TRACKS, hubness=CORRECTED, all_copies=True)
    )
    single = {
        model: {
            number_of(match): match.score
            for match in search_library(
                several,
                Query(song(place, 8), weights=space, model=model, k=TRACKS, hubness=CORRECTED, all_copies=True),
            )
        }
        for model, space in (("compact", "melody"), ("dsp", "rhythm"))
    }
    # The background is that of the tracks that both models encoded, so that scores differ a little.
    for match in corrected:
        one = number_of(match)
        expected = sum(weight * single[m].get(one, 0.0) for m, weight in (("compact", 2 / 3), ("dsp", 1 / 3)))
        assert match.score == pytest.approx(expected, abs=0.1)
    asked = {"melody": 1.0, "dsp/rhythm": 2.0}
    way = find_path(several, song(place, 8), song(place, 9), 3, asked)
    tour = build_playlist(several, song(place, 8), 5, asked)
    for journey in (way, tour):
        assert (journey.models, journey.not_encoded) == (MODELS, {"compact": 2, "dsp": 3})
        assert {number_of(match) for match in journey} <= set(BOTH)
        for match in journey:
            assert sum(part.share for part in match.spaces.values()) == pytest.approx(match.score)
    assert tour.matches[0].score == pytest.approx(max(s for n, (s, _) in full_scan(
        several, asked, "track", 8).items() if n != 8), abs=1e-5)  # fmt: skip


def compared(library: LibraryFolder, a: int, b: int, asked: str) -> float:
    """The score of track b for track a, against the reference of both models."""
    spaces = library.spaces(None, ["dsp/rhythm"])
    with library.snapshot():
        first = [library.catalog.rows_of(number + 1, "track")[0] for number in (a, b)]
        one, two = (
            {name: part[0] for name, part in library.rows(spaces.spaces, "track", np.array([row])).items()}
            for row in first
        )
        return explain(library.reference(spaces, "track").spaces, one, two, spaces.weights({asked: 1}), "track")[0]


def test_versions_follow(several: LibraryFolder) -> None:
    found = find_versions(several, weights={"melody": 1.0, "dsp/rhythm": 2.0})
    assert (found.model, found.models) == ("compact", MODELS)
    assert found.not_encoded == {"compact": 2, "dsp": 3}
    assert len(BOTH) - 30 < found.recordings <= len(BOTH), "some are silent in both spaces"
    assert [name for name, weight in found.weights.items() if weight] == ["melody", "dsp/rhythm"]


def test_the_server_follows(several_api: Library, place: Path, tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("fastapi")
    from fastapi.testclient import TestClient

    from soundalike.serve import create_app
    from soundalike.serve.jobs.map import make_map
    from soundalike.serve.jobs.requests import MapJob

    asked = {"melody": 2.0, "dsp/rhythm": -1.0}
    expected = several_api.compare(song(place, 8), song(place, 9), weights=asked)
    a, b = {"track": 9}, {"track": 10}
    with TestClient(create_app(several_api), base_url="http://127.0.0.1") as client:
        compared = client.post("/api/v1/compare", json={"a": a, "b": b, "weights": asked}).json()
        assert compared["models"] == ["compact", "dsp"]
        assert compared["matches"][0]["score"] == expected.match.score
        matrices = client.post("/api/v1/passages", json={"a": a, "b": b, "spaces": ["melody", "dsp/rhythm"]}).json()
        assert list(matrices["spaces"]) == ["melody", "dsp/rhythm"] == list(matrices["mean"])
        wrong = client.post("/api/v1/passages", json={"a": a, "b": b, "spaces": ["dsp/mood"]})
        assert (wrong.status_code, wrong.json()["detail"].split(";")[0]) == (400, "unknown space 'dsp/mood'")
        way = client.post("/api/v1/path", json={"a": a, "b": {"track": 11}, "steps": 2, "weights": {"dsp/rhythm": 1}})
        assert (way.json()["models"], way.json()["not_encoded"]) == (["compact", "dsp"], {"compact": 2, "dsp": 3})
        settings = '[presets]\nmine = "compact/melody=1,dsp/rhythm=-2"\nother = "mood=1"\n'
        (tmp_path / "config.toml").write_text(settings)
        monkeypatch.setenv("SOUNDALIKE_CONFIG", str(tmp_path / "config.toml"))
        presets = {one["name"]: one["weights"] for one in client.get("/api/v1/library").json()["presets"]}
        assert presets["mine"] == {"melody": 1.0, "dsp/rhythm": -2.0} and "groove" in presets and "other" not in presets
        lacking = client.post("/api/v1/search", json={"query": {"track": 4}, "weights": asked})
        assert lacking.status_code == 422, "track 3 must be encoded by dsp, and its file is empty"
    made = make_map(several_api.folder, MapJob(kind="map", weights={"melody": 1, "dsp/rhythm": 1}), place / "map.bin")
    assert (made.model, made.weights) == ("compact", {"melody": 1.0, "dsp/rhythm": 1.0})
    assert made.tracks + made.left_out == TRACKS
    assert made.left_out >= len(ONLY_COMPACT) + len(ONLY_DSP)


# Names ------------------------------------------------------------------------------------------------------------

HELD = {
    "compact": ["melody", "rhythm"],
    "compact-spleeter": ["vocals.melody", "vocals.rhythm"],
    "clap-demucs": ["drums", "vocals"],
    "muq-demucs": ["drums", "bass"],
    "muq": ["overall"],
    "merit": ["melody"],
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Model]:
    """Models with the spaces of HELD, by name."""
    bundled, made = load_recipe("dsp").weights.parent, {}
    for name, spaces in HELD.items():
        folder = tmp_path_factory.mktemp(name)
        shutil.copy(bundled / "weights.safetensors", folder)
        body = json.loads((bundled / "recipe.json").read_text())
        entries = [{**body["spaces"][2], "name": one, "head": "identity", "dim": 137} for one in spaces]
        (folder / "recipe.json").write_text(json.dumps(body | {"name": name, "spaces": entries}))
        made[name] = load_once(str(folder))
    return made


@pytest.mark.parametrize(
    ("model", "given", "full", "name"),
    [
        ("compact", "melody", "compact/melody", "melody"),
        ("compact", "compact/melody", "compact/melody", "melody"),
        ("merit", "melody", "merit/melody", "melody"),
        ("compact", "merit/melody", "merit/melody", "merit/melody"),
        ("compact", "vocals.melody", "compact-spleeter/vocals.melody", "vocals.melody"),
        ("compact", "compact/vocals.melody", "compact-spleeter/vocals.melody", "vocals.melody"),
        ("compact", "overall", "muq/overall", "overall"),
        ("compact", "muq/bass", "muq-demucs/bass", "bass"),
        ("compact", "muq/drums", "muq-demucs/drums", "muq-demucs/drums"),
        ("compact", "clap-demucs/drums", "clap-demucs/drums", "clap-demucs/drums"),
        ("muq-demucs", "drums", "muq-demucs/drums", "drums"),
        ("muq-demucs", "muq/drums", "muq-demucs/drums", "drums"),
        ("muq-demucs", "clap/drums", "clap-demucs/drums", "clap-demucs/drums"),
        ("muq-demucs", "melody", None, "melody"),
        ("compact", "drums", None, "drums"),
        ("merit", "rhythm", "compact/rhythm", "rhythm"),
    ],
)
def test_a_name_means_one_space(models, model: str, given: str, full: str | None, name: str) -> None:
    """The name in the answer, in a request with the same model, is the same space again."""
    if full is None:
        with pytest.raises(UsageError, match=rf"^2 models have a space {given}; write \S+/{given} or \S+/{given}$"):
            SearchSpaces.find(models[model], [given], lambda: HELD, models.__getitem__)
        return
    for one in (given, name, full):
        found = SearchSpaces.find(models[model], [one], lambda: HELD, models.__getitem__)
        assert [space.name for space in found.spaces[: len(HELD[model])]] == HELD[model]
        assert {space.name: space.full_name for space in found.spaces}[name] == full
        assert {space for space, weight in found.weights({one: 2}).items() if weight} == {name}
        assert found.name == "+".join(dict.fromkeys([model, full.partition("/")[0]]))
        assert len(found.spaces) - len(HELD[model]) == (full.partition("/")[0] != model)


def test_wrong_names_say_what_is_known(models) -> None:
    found = SearchSpaces.find(models["compact"], ["mood", "muq/bass"], lambda: HELD, models.__getitem__)
    with pytest.raises(UsageError, match="^unknown space 'mood'; known: melody, rhythm, bass, compact-spleeter/vocals"):
        found.weights({"mood": 1, "muq/bass": 1})
    with pytest.raises(UsageError, match="the weight of bass is given twice, as bass and muq/bass; give it once"):
        SearchSpaces.find(models["compact"], ["bass", "muq/bass"], lambda: HELD, models.__getitem__).weights(
            {"bass": 1, "muq/bass": 2}
        )
    assert dict(found.weights(None)) == {"melody": 1.0, "rhythm": 1.0, "bass": 0.0}


def test_a_model_that_is_not_held_keeps_its_names(models) -> None:
    """Such as one in a folder, in a comparison without a library."""
    held = {name: spaces for name, spaces in HELD.items() if name in ("compact-spleeter", "merit")}
    found = SearchSpaces.find(models["compact"], ["merit/melody", "vocals.rhythm"], lambda: held, models.__getitem__)
    assert [space.name for space in found.spaces] == ["melody", "rhythm", "vocals.rhythm", "merit/melody"]
    assert dict(found.weights({"melody": 1, "merit/melody": 2})) == {
        "melody": 1.0, "rhythm": 0.0, "vocals.rhythm": 0.0, "merit/melody": 2.0,
    }  # fmt: skip


def test_names_of_one_model_load_no_other(models) -> None:
    def fail(*_: object) -> Never:
        raise AssertionError

    assert SearchSpaces.find(models["compact"], ["melody", "compact/rhythm"], fail, fail).models == (models["compact"],)


def test_compare_names_spaces_of_installed_models(made, several_api, capsys) -> None:
    a, b = made("a.wav", seconds=3), made("b.wav", seconds=3, seed=1, drums=(0, 3))
    spaces = SearchSpaces.find(load_once("compact"), ["dsp/melody"], installed_spaces)
    first, second = ([model.encode(path) for model in spaces.models] for path in (a, b))
    alone = [
        compare_encodings(model, one, other, {"melody": 1}, level="passage").match.score
        for model, one, other in zip(spaces.models, first, second, strict=True)
    ]
    assert main(["compare", str(a), str(b), "-w", "melody=2,dsp/melody=-1", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["models"] == ["compact", "dsp"]
    match = printed["matches"][0]
    assert match["score"] == pytest.approx((2 * alone[0] - alone[1]) / 3)
    assert match["score"] == pytest.approx(sum(one["share"] for one in match["spaces"].values()))
    within = several_api.compare(a, b, weights={"melody": 2.0, "dsp/melody": -1.0})
    assert (within.model, within.models, within.reference, within.recordings) == (
        "compact", MODELS, "library", len(BOTH)
    )  # fmt: skip
    assert sum(part.share for part in within.match.spaces.values()) == pytest.approx(within.match.score)


def test_a_backbone_that_models_share_runs_once(models, music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[str] = []

    def counted(backbone, *arguments):
        runs.append(backbone.name)
        return features(backbone, *arguments)

    kind = type(models["muq"].backbones["dsp"])
    features = kind.features
    monkeypatch.setattr(kind, "features", counted)
    song = music / "up" / "0.wav"
    muq, merit = encode_with([models["muq"], models["merit"]], song)
    assert runs == ["dsp"]
    for encoding, name in ((muq, "muq"), (merit, "merit")):
        for space, part in models[name].encode(song).passages.rows.items():
            assert np.array_equal(part, encoding.passages.rows[space])
