"""Export a library as Parquet and import it: nothing is lost, and nothing invalid gets in."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import TUNES, tune, write
from soundalike.audio.fingerprint import Fingerprint
from soundalike.audio.stream import windows
from soundalike.cli.main import main
from soundalike.core.errors import LibraryError, ModelError, UsageError
from soundalike.core.types import LEVELS, Level
from soundalike.library.catalog.held import HeldModel
from soundalike.library.catalog.track import Track
from soundalike.library.exchange.export import export_library
from soundalike.library.exchange.format import TRACK_COLUMNS
from soundalike.library.exchange.import_ import ImportReport, import_library
from soundalike.library.exchange.read import Export
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing.index import index_files
from soundalike.library.stale_rows import remove_stale_rows
from soundalike.models.model import Model
from soundalike.search.query import Query
from soundalike.search.search import search_library

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install soundalike[parquet]")
pq = pytest.importorskip("pyarrow.parquet")

FILES = ("tracks", "passages", "failures")


def take_out(library: Path, folder: Path) -> Path:
    with LibraryFolder(library) as opened:
        export_library(opened, folder)
    return folder


def take_in(folder: Path, library: Path) -> ImportReport:
    with Export(folder) as export, LibraryFolder.create(library) as opened:
        return import_library(opened, export)


def content(folder: Path) -> tuple[object, ...]:
    """All that an export holds, to be compared."""
    tables = [pq.read_table(folder / f"{name}.parquet") for name in FILES]
    return json.loads((folder / "library.json").read_text()), *tables


# A library made from audio -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rich:
    """A library with all that one can hold: two models, copies, a changed file, missing, removed and bad ones."""

    library: Path
    files: Path
    other: Path


@pytest.fixture(scope="module")
def rich(stocked: Path, music: Path, tmp_path_factory: pytest.TempPathFactory) -> Rich:
    base = tmp_path_factory.mktemp("rich")
    library, files = base / "library", base / "files"
    shutil.copytree(stocked, library)
    other = Path(shutil.copytree(Model.load("compact").recipe.weights.parent, base / "other"))
    recipe = json.loads((other / "recipe.json").read_text())
    (other / "recipe.json").write_text(json.dumps(recipe | {"name": "other", "spaces": recipe["spaces"][:2]}))
    files.mkdir()
    shutil.copy(music / "up" / "0.wav", files / "copy.wav")
    odd = os.fsencode(files) + b"/odd\xff.wav"
    for number, name in enumerate(("changed", "gone", "pruned", "odd")):
        notes = [note + number for note in TUNES["down"]]
        write(files / f"{name}.wav", tune(notes, seconds=3 + 4 * number, seed=number))
    (files / "odd.wav").rename(os.fsdecode(odd))
    write(files / "silent.wav", np.zeros(30000))
    (files / "bad.wav").write_bytes(b"RIFF....")
    with LibraryFolder.create(library) as opened:
        index_files(opened, [files])
        write(files / "changed.wav", tune(TUNES["pedal"], seconds=4))
        (files / "pruned.wav").unlink()
        index_files(opened, [files], prune=True)
        # The other model encodes one of two copies: both have its rows.
        index_files(opened, [music / "up", files / "changed.wav", files / "silent.wav"], model=str(other))
        (files / "gone.wav").unlink()
        with opened.catalog.transaction():
            (gone,) = opened.catalog.tracks("shown_path LIKE '%gone.wav'")
            opened.catalog.mark([gone.id], missing=True)
    return Rich(library, files, other)


def test_nothing_is_lost_on_the_way(rich: Rich, tmp_path: Path) -> None:
    first = take_out(rich.library, tmp_path / "first")
    report = take_in(first, tmp_path / "library")
    second = take_out(tmp_path / "library", tmp_path / "second")
    assert content(first) == content(second)
    with LibraryFolder(rich.library) as old, LibraryFolder(tmp_path / "library") as new:
        assert (report.added, report.known, report.failures) == (len(old.catalog.tracks()), 0, 1)
        assert old.catalog.models() == new.catalog.models()
        assert old.catalog.failures.all() == new.catalog.failures.all()
        assert old.catalog.counts() == new.catalog.counts()
        for track in old.catalog.tracks():
            back = new.catalog.track_at(track.path)
            assert back is not None
            assert replace(back, id=track.id) == track
            assert [*new.catalog.paths.roots_of([back.id]).values()] == [
                *old.catalog.paths.roots_of([track.id]).values()
            ]
            assert np.array_equal(new.catalog.fingerprints.get(back.id), old.catalog.fingerprints.get(track.id))
            for model in old.catalog.models():
                assert new.catalog.is_encoded(back.id, model) == old.catalog.is_encoded(track.id, model)


def test_copies_still_share_their_rows(rich: Rich, music: Path, tmp_path: Path) -> None:
    take_in(take_out(rich.library, tmp_path / "export"), tmp_path / "library")
    with LibraryFolder(tmp_path / "library") as library:
        ids = [library.catalog.track_at(path).id for path in (music / "up" / "0.wav", rich.files / "copy.wav")]
        for level in LEVELS:
            places = {library.catalog.rows_of(one, level) for one in ids}
            assert len(places) == 1
        assert [library.catalog.is_encoded(one, "other") for one in ids] == [True, False]
    table = pq.read_table(tmp_path / "export" / "tracks.parquet")
    shared = [(row["number"], row["rows_of"]) for row in table.to_pylist() if row["rows_of"] is not None]
    assert shared == [(shared[0][1] + 1, shared[0][1])]


def test_a_search_answers_bit_for_bit(rich: Rich, music: Path, tmp_path: Path) -> None:
    take_in(take_out(rich.library, tmp_path / "export"), tmp_path / "library")
    queries = [
        Query(path, by=level, k=30, model=model, weights=weights, include_self=True)
        for path in (music / "up" / "0.wav", music / "up" / "2.wav")
        for level in LEVELS
        for model, weights in (("compact", {"melody": 2, "timbre": -1}), ("other", {"rhythm": 1}))
    ]
    with LibraryFolder(rich.library) as old, LibraryFolder(tmp_path / "library") as new:
        for query in queries:
            expected, found = search_library(old, query), search_library(new, query)
            assert expected.matches == found.matches
            assert [one.id for one in expected.tracks.values()] != []
            assert expected.searched == found.searched > 2
            assert expected.copies == found.copies


def test_any_tool_reads_it(rich: Rich, tmp_path: Path) -> None:
    folder = take_out(rich.library, tmp_path / "export")
    tracks = pq.read_table(folder / "tracks.parquet").to_pylist()
    passages = pq.read_table(folder / "passages.parquet")
    told = json.loads((folder / "library.json").read_text())
    assert (told["magic"], told["format"]) == ("soundalike-library", 3)
    assert (told["tracks"], told["passages"], told["failures"]) == (len(tracks), passages.num_rows, 1)
    assert [(m["name"], len(m["spaces"])) for m in told["models"]] == [("compact", 4), ("other", 2)]
    dims = {space.full_name: space.dim for space in Model.load().spaces}
    assert {f"compact/{space['name']}": space["dim"] for space in told["models"][0]["spaces"]} == dims
    assert set(TRACK_COLUMNS) == set(Track.__dataclass_fields__) - {"path", "id"}
    with LibraryFolder(rich.library) as library:
        vectors = library.vectors("passage", "compact")
        assert {os.fsencode(t.path) for t in library.catalog.tracks()} == {t["root"] + t["path"] for t in tracks}
    assert any(b"odd\xff" in track["path"] for track in tracks)
    number = {os.fsdecode(track["root"] + track["path"]): track["number"] for track in tracks}
    rows = {(row["track"], row["index"]): row["compact/melody"] for row in passages.to_pylist()}
    assert len(vectors) > 24
    for span, row in zip(vectors.spans, vectors.rows["melody"], strict=True):
        own = number[span.track]
        own = own if tracks[own]["rows_of"] is None else tracks[own]["rows_of"]
        assert rows[own, int(span.start / 5)] == row.tolist()
    unheard = [track for track in tracks if "other" not in track["encoded_by"] and track["rows_of"] is None]
    assert unheard and all(track["other/melody"] is None for track in unheard)
    assert not [path for path in tmp_path.iterdir() if path.name != "export"], "nothing else is left behind"


def test_what_is_there_already_is_left_as_it_is(rich: Rich, stocked: Path, tmp_path: Path) -> None:
    shutil.copytree(stocked, tmp_path / "library")
    export = take_out(rich.library, tmp_path / "export")
    with LibraryFolder(tmp_path / "library") as library:
        before = library.catalog.tracks()
    report = take_in(export, tmp_path / "library")
    assert report.known == 12
    assert report.added == pq.read_metadata(export / "tracks.parquet").num_rows - 12
    with LibraryFolder(tmp_path / "library") as library:
        assert library.catalog.tracks()[:12] == before
        assert not library.catalog.is_encoded(before[0].id, "other")
    assert take_in(export, tmp_path / "library") == ImportReport(added=0, known=12 + report.added, failures=0)


def test_indexing_goes_on_where_an_import_stopped(rich: Rich, tmp_path: Path, music: Path) -> None:
    """Imported tracks count as encoded: no file is encoded again, and another model is added beside."""
    take_in(take_out(rich.library, tmp_path / "export"), tmp_path / "library")
    with LibraryFolder.create(tmp_path / "library") as library:
        report = index_files(library, [music / "up"])
        assert (report.unchanged, report.changed, report.added) == (3, 0, 0)
        report = index_files(library, [music / "down"])
        assert report.changed == 3, "the other model had not encoded these"
        assert len(library.vectors("track", "other")) > 6


def test_another_version_of_a_model_is_refused(rich: Rich, stocked: Path, tmp_path: Path) -> None:
    export = take_out(rich.library, tmp_path / "export")
    edit_manifest(lambda told: told["models"][0].update(digest="older"))(export)
    shutil.copytree(stocked, tmp_path / "library")
    with pytest.raises(ModelError, match="encoded by version older of compact, the library at .* holds version"):
        take_in(export, tmp_path / "library")
    # Where it is not held, it is not even looked for.
    assert take_in(export, tmp_path / "new").added > 12


# Files of vectors ----------------------------------------------------------------------------------------------------


def test_vectors_as_parquet_are_those_of_npz(rich: Rich, tmp_path: Path, capsys) -> None:
    for level in LEVELS:
        for suffix in ("npz", "parquet"):
            arguments = ["--library", str(rich.library), "--by", level, "--model", "compact"]
            assert main(["library", "export", str(tmp_path / f"v.{suffix}"), *arguments]) == 0
        table = pq.read_table(tmp_path / "v.parquet")
        with np.load(tmp_path / "v.npz", allow_pickle=False) as arrays:
            assert [os.fsdecode(path) for path in table["path_bytes"].to_pylist()] == arrays["path"].tolist()
            assert any(path.endswith("odd\\xff.wav") for path in table["path"].to_pylist())
            for name in ("start", "end"):
                assert table.schema.field(name).type == pa.float64()
                assert table[name].to_pylist() == arrays[name].tolist()
            for name in ("melody", "rhythm", "timbre", "harmony"):
                kind = table.schema.field(name).type
                assert (kind.value_type, kind.list_size) == (pa.float32(), arrays[name].shape[1])
                assert np.array_equal(table[name].combine_chunks().flatten().to_numpy(), arrays[name].ravel())
    with LibraryFolder(rich.library) as library:
        digest = library.model("compact").recipe.digest
    assert table.schema.metadata == {b"model": b"compact", b"digest": digest.encode()}
    assert "rows written" in capsys.readouterr().out


def test_embed_writes_parquet(made: Callable[..., Path], tmp_path: Path, capsys) -> None:
    song = made("song.wav", seconds=12)
    assert main(["embed", str(song), "-o", str(tmp_path / "v.parquet"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    table = pq.read_table(tmp_path / "v.parquet")
    assert told["rows"] == table.num_rows == 2
    assert table.column_names == ["path", "path_bytes", "start", "end", *told["spaces"]]
    assert table["path"].to_pylist() == [str(song)] * 2


def test_a_library_of_any_size_goes_through_in_parts(rich: Rich, monkeypatch) -> None:
    with LibraryFolder(rich.library) as library:
        whole = library.vectors(model="compact")
        monkeypatch.setattr("soundalike.library.folder._PART", 3)
        parts = list(library.parts(model="compact"))
        assert len(parts) > 5
        again = library.vectors(model="compact")
    assert whole.spans == again.spans == tuple(sorted(whole.spans))
    assert all(np.array_equal(again.rows[name], rows) for name, rows in whole.rows.items())


# Libraries of all kinds ----------------------------------------------------------------------------------------------

DIMS = {"a": {"tune": 3, "beat": 5}, "b": {"tune": 4}}


@dataclass(frozen=True)
class Kind:
    """A track to make: its length, the models that encoded it, and the earlier track that it copies, if any."""

    seconds: float
    encoded_by: tuple[str, ...]
    copy_of: int | None = None
    absent: bool = False
    again: bool = False


def unit_rows(random: np.random.Generator, n: int, dim: int) -> np.ndarray:
    rows = random.standard_normal((n, dim)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[random.random(n) < 0.2] = 0
    return rows


def make_library(path: Path, kinds: list[Kind], dims: dict[str, dict[str, int]] = DIMS, digest: str = "1") -> None:
    """A library of random rows; with `again` a track has its rows moved to the end, as when its file has changed."""
    random = np.random.default_rng(len(kinds))
    with LibraryFolder.create(path) as library:
        catalog = library.catalog
        with catalog.transaction():
            for model, spaces in dims.items():
                entries = [(space, level, dim) for space, dim in spaces.items() for level in LEVELS]
                catalog.put_model(model, HeldModel(digest, model), entries)
        library.refresh()
        store = library.store

        def encode(track_id: int, kind: Kind) -> None:
            catalog.unmark_encoded(track_id)
            for level in LEVELS:
                count = 1 if level == "track" else len(windows(kind.seconds))
                first = catalog.next_row(level)
                for model in kind.encoded_by:
                    for space, dim in dims[model].items():
                        store.write(level, f"{model}/{space}", first, unit_rows(random, count, dim))
                    catalog.commit_rows(model, level, first, count)
                catalog.assign_rows(track_id, level, first, count)
            for model in kind.encoded_by:
                catalog.mark_encoded(track_id, model)

        with catalog.transaction():
            ids: list[int] = []
            for number, kind in enumerate(kinds):
                path, text, twin = Path(f"/music/{number % 3}/{number}.flac"), f"{number:032x}", f"{number // 2:032x}"
                track = Track(
                    path, number, number, text, twin, kind.seconds, 44100, 2, "flac", f"Title {number}",
                    (f"Artist {number}", "Other")[: number % 3], None, (), 1999, 120.0, None, None, "A minor", -9.5,
                    silent=False, missing=kind.absent, key_confidence=0.5, bit_rate=1000 * number or None,
                )  # fmt: skip
                ids.append(catalog.put_track(Path("/music"), track))
                if kind.copy_of is not None:
                    catalog.share_rows(ids[kind.copy_of], ids[-1])
                    continue
                signs = random.integers(0, 2**32, number % 50, dtype=np.uint32)
                levels = random.integers(0, 256, (max(0, (len(signs) - 12) // 4), 24)).astype(np.float32) / 2
                catalog.fingerprints.put(ids[-1], Fingerprint(signs, levels).words())
                if kind.encoded_by:
                    encode(ids[-1], kind)
            for track_id, kind in zip(ids, kinds, strict=True):
                if kind.again and kind.encoded_by and kind.copy_of is None:
                    encode(track_id, kind)
            store.flush()


@st.composite
def some_kinds(draw: st.DrawFn) -> list[Kind]:
    kinds: list[Kind] = []
    for number in range(draw(st.integers(0, 9))):
        source = draw(st.one_of(st.none(), st.integers(0, number - 1))) if number else None
        if source is not None:
            kinds.append(replace(kinds[source], copy_of=source, absent=draw(st.booleans())))
        else:
            encoded_by = draw(st.sampled_from([(), ("a",), ("b",), ("a", "b")]))
            kinds.append(Kind(draw(st.floats(0.3, 40)), encoded_by, None, draw(st.booleans()), draw(st.booleans())))
    return kinds


@settings(max_examples=10, deadline=None)
@given(kinds=some_kinds())
def test_any_library_comes_back(kinds: list[Kind], tmp_path_factory: pytest.TempPathFactory) -> None:
    base = tmp_path_factory.mktemp("any")
    make_library(base / "library", kinds)
    take_in(take_out(base / "library", base / "first"), base / "back")
    take_out(base / "back", base / "second")
    assert content(base / "first") == content(base / "second")
    assert rows_by_path(base / "library") == rows_by_path(base / "back")


def rows_by_path(path: Path) -> dict[tuple[str, str, Level], bytes]:
    with LibraryFolder(path) as library:
        return {
            (str(track.path), full, level): library.store.read(
                level, full, dim, np.arange(first, first + count)
            ).tobytes()
            for track in library.catalog.tracks()
            for space in library.catalog.spaces()
            for full, level, dim in [(space.full_name, space.level, space.dim)]
            if library.catalog.is_encoded(track.id, space.model)
            for first, count in [library.catalog.rows_of(track.id, level)]
        }


def test_percentiles_come_back_whatever_the_order_of_ids(tmp_path: Path) -> None:
    """Pairs of the library's own tracks are drawn by the order of rows, which an import keeps, and not of ids."""
    model = Model.load()
    dims = {model.name: {space.name: space.dim for space in model.spaces}}
    kinds = [Kind(6, (model.name,), again=n % 7 == 0) for n in range(430)]
    make_library(tmp_path / "library", kinds, dims, model.recipe.digest)
    take_in(take_out(tmp_path / "library", tmp_path / "export"), tmp_path / "back")
    with LibraryFolder(tmp_path / "library") as old, LibraryFolder(tmp_path / "back") as new:
        assert [track.path for track in old.catalog.tracks()] != [track.path for track in new.catalog.tracks()]
        for level in LEVELS:
            expected = old.reference(model, level)
            assert expected.source == "library"
            assert new.reference(model, level).spaces == expected.spaces


def test_copies_are_never_parted_and_rows_of_any_number_go_through(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("soundalike.library.exchange.export._CHUNK_BYTES", 2000)
    monkeypatch.setattr("soundalike.library.exchange.export._CHUNK_PASSAGES", 300)
    monkeypatch.setattr("soundalike.library.exchange.read._READ", 5)
    monkeypatch.setattr("soundalike.library.exchange.read._BATCH_TRACKS", 7)
    kinds = [Kind(4 + 3 * n, ("a", "b") if n % 3 else ("a",)) for n in range(40)]
    kinds += [replace(kinds[number], copy_of=number) for number in (3, 3, 3, 8, 39)]
    make_library(tmp_path / "library", kinds)
    first = take_out(tmp_path / "library", tmp_path / "first")
    assert pq.read_metadata(first / "passages.parquet").num_row_groups > 5
    assert pq.read_metadata(first / "tracks.parquet").num_row_groups > 5
    with Export(first) as export:
        batches = list(export.batches())
    assert len(batches) > 4
    assert max(len(sound.copies) for batch in batches for sound in batch) == 4
    take_in(first, tmp_path / "back")
    assert content(take_out(tmp_path / "back", tmp_path / "second")) == content(first)


# Invalid exports -----------------------------------------------------------------------------------------------------

Damage = Callable[[Path], None]


@pytest.fixture(scope="module")
def sound_export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("sound")
    kinds = [Kind(12, ("a", "b")), Kind(20, ("a",)), Kind(12, ("a", "b"), copy_of=0), Kind(3, ())]
    make_library(base / "library", kinds)
    with LibraryFolder.create(base / "library") as library, library.catalog.transaction():
        library.catalog.failures.put(Path("/music/bad.wav"), 1, 2, "not audio")
    return take_out(base / "library", base / "export")


def edit_manifest(change: Callable[[dict], object]) -> Damage:
    def damage(folder: Path) -> None:
        told = json.loads((folder / "library.json").read_text())
        change(told)
        (folder / "library.json").write_text(json.dumps(told))

    return damage


def edit(name: str, column: str, change: Callable[[list], object], kind: object = None) -> Damage:
    """Change the values of a column, and its type if `kind` is given."""

    def damage(folder: Path) -> None:
        table = pq.read_table(folder / f"{name}.parquet")
        values = table[column].to_pylist()
        field = pa.field(column, kind or table.schema.field(column).type)
        changed = change(values)
        values = values if changed is None else changed
        at = table.schema.get_field_index(column)
        pq.write_table(table.set_column(at, field, pa.array(values, field.type)), folder / f"{name}.parquet")

    return damage


def rewrite(name: str, change: Callable[[object], object]) -> Damage:
    def damage(folder: Path) -> None:
        pq.write_table(change(pq.read_table(folder / f"{name}.parquet")), folder / f"{name}.parquet")

    return damage


def both(*damages: Damage) -> Damage:
    def damage(folder: Path) -> None:
        for one in damages:
            one(folder)

    return damage


def put(at: int, value: object) -> Callable[[list], None]:
    return lambda values: values.__setitem__(at, value)


def put_in(at: int, value: float) -> Callable[[list], None]:
    return lambda values: values[at].__setitem__(0, value)


def cut(name: str, share: float) -> Damage:
    def damage(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: int(share * len(data))])

    return damage


DAMAGES: list[tuple[str, Damage, str]] = [
    ("no manifest", lambda f: (f / "library.json").unlink(), r"holds no exported library \(no library.json\)"),
    ("no json", lambda f: (f / "library.json").write_text("{"), "library.json is not valid JSON"),
    ("a list", lambda f: (f / "library.json").write_text("[]"), "does not describe an exported library"),
    ("magic", edit_manifest(lambda t: t.update(magic="x")), "does not describe an exported library"),
    ("newer", edit_manifest(lambda t: t.update(format=4)), "format 4, this version reads up to 3; upgrade soundalike"),
    ("grid", edit_manifest(lambda t: t.update(hop_seconds=2.5)), "passages of 10.0 s every 2.5 s, expected 10 s every"),
    ("no counts", edit_manifest(lambda t: t.pop("tracks")), "library.json is invalid: tracks is missing"),
    ("odd counts", edit_manifest(lambda t: t.update(tracks=-1)), "found -1, expected a whole number of at least 0"),
    ("wrong counts", edit_manifest(lambda t: t.update(tracks=9)), "tracks.parquet .*: 4 lines, library.json says 9"),
    ("no models", edit_manifest(lambda t: t.update(models=None)), "found None, expected a list"),
    (
        "odd model",
        edit_manifest(lambda t: t["models"][0].update(name="../x")),
        "'../x' cannot be the name of a model; expected 1 to 64",
    ),
    (
        "twice a model",
        edit_manifest(lambda t: t["models"].append(t["models"][0])),
        "two models are called 'a' and 'a'; names must differ by more than case",
    ),
    ("no spaces", edit_manifest(lambda t: t["models"][0].update(spaces=[])), "are empty or not unique"),
    (
        "levels",
        edit_manifest(lambda t: t["models"][0]["spaces"][0].update(levels=["track"])),
        "expected track and pass",
    ),
    ("other dims", edit_manifest(lambda t: t["models"][0]["spaces"][1].update(dim=7)), "a row of .* dims, expected"),
    ("another model", edit_manifest(lambda t: t["models"][1].update(name="c")), "column 'c/tune' is missing"),
    ("no file", lambda f: (f / "passages.parquet").unlink(), "passages.parquet cannot be read: No such file"),
    ("empty file", lambda f: (f / "tracks.parquet").write_bytes(b""), "tracks.parquet is invalid"),
    ("rubbish", lambda f: (f / "tracks.parquet").write_bytes(b"x" * 999), "tracks.parquet is invalid: .*magic bytes"),
    ("cut", cut("passages.parquet", 0.7), "passages.parquet is invalid"),
    ("no column", rewrite("tracks", lambda t: t.drop_columns(["size"])), "column 'size' is missing"),
    ("type", edit("tracks", "size", lambda v: [str(n) for n in v], pa.string()), "'size' is string, expected int64"),
    ("nothing", edit("tracks", "codec", put(1, None)), "column 'codec' has nulls"),
    ("number", edit("tracks", "number", put(2, 7)), "line 2 has number 7"),
    ("negative", edit("tracks", "size", put(1, -3)), "line 1: size is -3"),
    ("duration", edit("tracks", "duration", put(1, float("nan"))), "line 1: duration is nan"),
    ("endless", edit("tracks", "duration", put(1, 1e12)), "line 1: duration is 1000000000000"),
    ("tempo", edit("tracks", "tempo", put(1, float("inf"))), "line 1: tempo is inf"),
    ("long text", edit("tracks", "title", put(1, "x" * 1001)), "line 1: title has 1,001 characters, expected at most"),
    ("long name", edit("tracks", "artists", put(1, ["x" * 1001])), "line 1: artists has 1,001 characters, expected at"),
    ("many values", edit("tracks", "genres", put(1, ["x"] * 51)), "line 1: genres has 51 values, expected at most 50"),
    ("long path", edit("tracks", "path", put(1, b"x" * 70_000)), r"a path of 70,\d+ bytes, expected at most 65,536"),
    ("relative", edit("tracks", "root", put(1, b"music/")), r"b'music/' is not an absolute path on this system"),
    ("NUL", edit("tracks", "path", put(1, b"a\0b")), "is not an absolute path on this system"),
    ("no name", edit("tracks", "path", put(1, b"")), "is not an absolute path on this system"),
    ("stranger", edit("tracks", "encoded_by", put(0, ["a", "z"])), r"encoded by \['a', 'z'\], expected some of"),
    ("more encoded", edit("tracks", "encoded_by", put(2, ["a", "b"])), "missing row of b/tune"),
    ("less encoded", edit("tracks", "encoded_by", put(2, [])), "line 2: 3 passages, expected 0"),
    ("passages", edit("tracks", "passages", put(2, 4)), "line 2: 4 passages, expected 3"),
    ("copy", edit("tracks", "rows_of", put(2, 0)), "line 2: not a copy of the track before it"),
    ("copy of none", edit("tracks", "rows_of", put(0, 0)), "line 0: a copy of a track that does not exist"),
    ("no fingerprint", edit("tracks", "fingerprint", put(2, None)), "line 2: a copy of a track that does not exist"),
    ("no row", edit("tracks", "a/tune", put(2, None)), "missing row of a/tune"),
    ("not finite", edit("tracks", "a/tune", put_in(2, float("nan"))), "a/tune: a row not finite, expected"),
    ("infinite", edit("passages", "a/tune", put_in(3, float("inf"))), "a/tune: a row not finite, expected"),
    ("length", edit("passages", "a/tune", put(3, [3.0, 4.0, 0.0])), "of length 5, expected length 1 or all zero"),
    ("huge", edit("passages", "a/tune", put(3, [3e38, 3e38, 0.0])), "of length 4.*e.38, expected length 1 or all zero"),
    ("dims", edit("passages", "a/tune", put(3, [1.0])), "a row of 1 dims, expected 3"),
    ("null within", edit("passages", "a/tune", put(3, [1.0, None, 0.0])), "a row contains nulls"),
    (
        "null between",
        edit("passages", "b/tune", put(1, None)),
        "only some passages of a track have a row",
    ),
    ("too much", edit("passages", "b/tune", put(3, [1.0, 0.0, 0.0, 0.0])), "only some passages of a track have a row"),
    ("order", rewrite("passages", lambda t: t.take([1, 0, 2, 3, 4])), "column 'index' does not match the tracks"),
    (
        "less passages",
        both(rewrite("passages", lambda t: t.slice(0, 4)), edit_manifest(lambda t: t.update(passages=4))),
        "1 passages are missing",
    ),
    (
        "more passages",
        both(
            rewrite("passages", lambda t: pa.concat_tables([t, t.slice(0, 1)])),
            edit_manifest(lambda t: t.update(passages=6)),
        ),
        "1 passages belong to no track",
    ),
    ("failure", edit("failures", "path", put(0, b"bad.wav")), "b'bad.wav' is not an absolute path on this system"),
]


@pytest.mark.parametrize(("damage", "message"), [case[1:] for case in DAMAGES], ids=[case[0] for case in DAMAGES])
def test_an_invalid_export_is_reported_in_one_line(
    damage: Damage, message: str, sound_export: Path, tmp_path: Path, capsys
) -> None:
    folder = Path(shutil.copytree(sound_export, tmp_path / "export"))
    damage(folder)
    assert main(["library", "import", str(folder), "--library", str(tmp_path / "library")]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("soundalike: ") and captured.err.count("\n") == 1
    with pytest.raises(UsageError, match=message):
        raise UsageError(captured.err)
    if (tmp_path / "library" / "catalog.sqlite").exists():
        with LibraryFolder(tmp_path / "library") as library:
            held = library.catalog.counts()["tracks"], len(library.catalog.models())
        # A fault at the very end is found when the tracks, which are whole, have been stored.
        assert held == ((4, 2) if message in ("1 passages belong to no track", DAMAGES[-1][2]) else (0, 0))


def test_an_export_of_format_1_is_read(sound_export: Path, tmp_path: Path) -> None:
    """It had one artist and one genre per track, and fewer columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = Path(shutil.copytree(sound_export, tmp_path / "export"))
    table = pq.read_table(folder / "tracks.parquet")
    for name in ("artist", "genre"):
        first = [values[0] if values else None for values in table.column(f"{name}s").to_pylist()]
        table = table.drop_columns([f"{name}s"]).append_column(name, pa.array(first, pa.string()))
    newer = ["album_artist", "tempo_confidence", "meter_confidence", "described_by", "warning", "tags_version"]
    newer.append("bit_rate")
    pq.write_table(table.drop_columns(newer), folder / "tracks.parquet")
    edit_manifest(lambda told: told.update(format=1))(folder)
    assert take_in(folder, tmp_path / "library").added == 4
    with LibraryFolder(tmp_path / "library") as library:
        artists = {track.path.name: track.artists for track in library.catalog.tracks()}
        assert library.catalog.database.corrupt_tracks() == []
    assert artists == {"0.flac": (), "1.flac": ("Artist 1",), "2.flac": ("Artist 2",), "3.flac": ()}


def test_an_export_of_format_2_is_read(sound_export: Path, tmp_path: Path) -> None:
    """It had no bit rates."""
    folder = Path(shutil.copytree(sound_export, tmp_path / "export"))
    table = pq.read_table(folder / "tracks.parquet")
    pq.write_table(table.drop_columns(["bit_rate"]), folder / "tracks.parquet")
    edit_manifest(lambda told: told.update(format=2))(folder)
    assert take_in(folder, tmp_path / "library").added == 4
    with LibraryFolder(tmp_path / "library") as library:
        assert [track.bit_rate for track in library.catalog.tracks()] == [None] * 4


def test_a_path_that_comes_twice_is_added_once(sound_export: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sound_export, tmp_path / "export"))
    first = pq.read_table(folder / "tracks.parquet")["path"].to_pylist()[0]
    edit("tracks", "path", put(3, first))(folder)
    report = take_in(folder, tmp_path / "library")
    assert (report.added, report.known) == (3, 1)


@pytest.mark.parametrize("name", FILES)
def test_a_byte_that_has_changed_is_noticed(name: str, sound_export: Path, tmp_path: Path) -> None:
    data = (sound_export / f"{name}.parquet").read_bytes()
    pages = len(data) - 8 - int.from_bytes(data[-8:-4], "little")  # the footer says what lies where
    for at in np.random.default_rng(0).integers(4, pages, 12).tolist():
        folder = Path(shutil.copytree(sound_export, tmp_path / f"export{at}", dirs_exist_ok=True))
        (folder / f"{name}.parquet").write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        try:
            take_in(folder, tmp_path / f"library{at}")
        except UsageError as error:
            assert f"{name}.parquet" in str(error) and "\n" not in str(error)
        else:  # a part of a page's header that says nothing
            assert content(take_out(tmp_path / f"library{at}", tmp_path / f"again{at}")) == content(sound_export)


# What is refused -----------------------------------------------------------------------------------------------------


def test_a_target_that_is_taken_is_refused(rich: Rich, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    with LibraryFolder(rich.library) as library:
        for name in ("taken", "file"):
            with pytest.raises(UsageError, match="it exists and is not an empty folder; give a new name"):
                export_library(library, tmp_path / name)
        with pytest.raises(UsageError, match="its folder does not exist"):
            export_library(library, tmp_path / "none" / "export")
        assert export_library(library, tmp_path / "empty").tracks > 12
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "taken"]
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["thesis.txt"]


def test_a_corrupt_library_is_not_exported(tmp_path: Path) -> None:
    make_library(tmp_path / "library", [Kind(30, ("a",))])
    file = tmp_path / "library" / "passage.a@1.beat.f32"
    file.write_bytes(b"\x01" * file.stat().st_size)
    with pytest.raises(LibraryError, match="rows of a/beat are corrupt; see: soundalike library check"):
        take_out(tmp_path / "library", tmp_path / "export")
    assert [path.name for path in tmp_path.iterdir()] == ["library"]


def test_an_export_holds_the_rows_of_its_snapshot_though_they_are_encoded_again_meanwhile(tmp_path: Path) -> None:
    """A new version of a model is written to other files, and those of the old one are deleted."""
    make_library(tmp_path / "library", [Kind(30, ("a",))])
    take_out(tmp_path / "library", tmp_path / "before")
    written = []

    def encode_again(*_: object) -> None:
        if written:
            return
        with LibraryFolder.create(tmp_path / "library") as writer:
            with writer.catalog.transaction():
                writer.catalog.drop_model("a")
                writer.catalog.put_model("a", HeldModel("2", "a"), [("beat", level, 5) for level in LEVELS])
            remove_stale_rows(writer)
            for level in LEVELS:
                written.append(np.full((7, 5), 0.2**0.5, np.float32))
                writer.store.write(level, "a/beat", 0, written[-1])
            writer.store.flush()

    with LibraryFolder(tmp_path / "library") as library:
        export_library(library, tmp_path / "export", encode_again)
    assert written
    for name in ("tracks.parquet", "passages.parquet", "library.json"):
        assert (tmp_path / "export" / name).read_bytes() == (tmp_path / "before" / name).read_bytes(), name


@pytest.fixture
def empty_handed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Without pyarrow."""
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    return iter(())


@pytest.mark.usefixtures("empty_handed")
@pytest.mark.parametrize("command", ["embed x.wav -o", "library export", "library import"])
@pytest.mark.parametrize("name", ["v.parquet", "folder"])
def test_without_pyarrow_the_extra_is_named(
    command: str, name: str, sound_export: Path, tmp_path: Path, capsys
) -> None:
    if command.startswith("embed") and name == "folder":
        name = "w.PARQUET"
    target = str(sound_export) if command.endswith("import") else str(tmp_path / name)
    assert main([*command.split(), target]) == 2
    assert "pip install soundalike[parquet]" in capsys.readouterr().err


def test_a_folder_holds_all_levels_and_models(tmp_path: Path, capsys) -> None:
    for option in ("--by", "--model"):
        assert main(["library", "export", str(tmp_path / "folder"), option, "track"]) == 2
        assert f"is to be a folder, which holds all levels and models: leave out {option}" in capsys.readouterr().err


def test_the_command_reports(rich: Rich, tmp_path: Path, capsys) -> None:
    export, library = str(tmp_path / "export"), str(tmp_path / "library")
    assert main(["library", "export", export, "--library", str(rich.library), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"schema", "output", "tracks", "passages", "failures", "models"}
    assert main(["library", "import", export, "--library", library]) == 0
    assert f"{told['tracks']} tracks added, 0 already there" in capsys.readouterr().out
    assert main(["library", "import", export, "--library", library, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["added"], again["already_there"], again["tracks"]) == (0, told["tracks"], told["tracks"])
