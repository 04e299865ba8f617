"""The embedding cache on disk: appending, opening, invalid files, killed writers and merging."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundalike.core.errors import UsageError
from soundalike.train.data.cache import EmbeddingCache, merge

TOY = SimpleNamespace(name="toy", version=3, dims={"high": 5, "low": 2})


def toy_clips(numbers: Sequence[int]) -> tuple[list[str], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return digests, rows and audible flags of toy clips, which depend on their numbers only."""
    n = np.array(numbers, np.float32)
    rows = {name: n[:, None] * 10 + np.arange(dim, dtype=np.float32) for name, dim in TOY.dims.items()}
    audible = {"high": np.array([number % 3 > 0 for number in numbers], np.bool_), "low": n > 2}
    return [f"{number:032x}" for number in numbers], rows, audible


def check_toy(cache: EmbeddingCache, numbers: Sequence[int]) -> None:
    """Check that the cache holds exactly these clips, with the right rows."""
    assert len(cache) == len(set(numbers))
    digests, rows, audible = toy_clips(numbers)
    found = cache.find(digests)
    assert sorted(set(found.tolist())) == list(range(len(cache)))
    for feature in TOY.dims:
        np.testing.assert_array_equal(cache.rows(feature)[found], rows[feature])
        np.testing.assert_array_equal(cache.audible(feature)[found], audible[feature])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 30), max_size=8), max_size=6))
def test_exactly_the_appended_clips_are_found(batches: list[list[int]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        stored: set[int] = set()
        for reopened in range(2):
            with EmbeddingCache.open(Path(name), TOY) as cache:
                for batch in batches if not reopened else ():
                    before = {number: cache.find(toy_clips([number])[0])[0] for number in stored}
                    assert cache.append(*toy_clips(batch)) == len(set(batch) - stored)
                    stored |= set(batch)
                    assert all(cache.find(toy_clips([n])[0])[0] == position for n, position in before.items())
                check_toy(cache, sorted(stored))
                absent = [number for number in range(31) if number not in stored]
                assert (cache.find(toy_clips(absent)[0]) == -1).all()


def test_features_are_concatenated(tmp_path: Path) -> None:
    with EmbeddingCache.open(tmp_path / "cache", TOY) as cache:
        cache.append(*toy_clips(range(8)))
        positions = np.array([6, 1, 1, 3])
        rows, audible = cache.joined("low+high", positions)
        assert rows.dtype == np.float32 and rows.shape == (4, 7) and rows.flags.writeable
        np.testing.assert_array_equal(rows, np.hstack([cache.rows("low"), cache.rows("high")])[positions])
        np.testing.assert_array_equal(audible, [True, False, False, True])  # those of `low`, the first feature
        np.testing.assert_array_equal(cache.joined("high", positions)[1], [False, True, True, False])
        assert cache.joined("high+low", np.zeros(0, np.int64))[0].shape == (0, 7)
        assert isinstance(cache.rows("low"), np.memmap) and not cache.rows("low").flags.writeable
        with pytest.raises(UsageError, match="toy has no feature 'middle'; known: high, low"):
            cache.joined("low+middle", positions)
        for wrong in (-1, 8):
            with pytest.raises(IndexError, match="expected 0 to 7"):
                cache.joined("low", np.array([0, wrong]))


def test_first_of_equal_digests_is_stored(tmp_path: Path) -> None:
    with EmbeddingCache.open(tmp_path, TOY) as cache:
        _, rows, audible = toy_clips([3, 4, 5])
        assert cache.append(["a", "b", "a"], rows, audible) == 2
        assert cache.append(["b", "c", "c"], rows, audible) == 1
        assert cache.rows("low")[:, 0].tolist() == [30, 40, 40]
        assert cache.find(["c", "a", "d", "b"]).tolist() == [2, 0, -1, 1]


def test_rows_of_the_wrong_shape_raise_value_error(tmp_path: Path) -> None:
    with EmbeddingCache.open(tmp_path, TOY) as cache:
        digests, rows, audible = toy_clips([1, 2])
        with pytest.raises(ValueError, match="high: rows and audible of shapes"):
            cache.append(digests, {**rows, "high": rows["high"][:1]}, audible)
        assert len(cache) == 0 and cache.rows("high").shape == (0, 5) and cache.audible("low").shape == (0,)


# Opening ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [{"version": 4}, {"name": "tone"}, {"dims": {"high": 5, "low": 3}}, {"dims": {"high": 5}}],
    ids=["version", "name", "dims", "features"],
)
@pytest.mark.parametrize("create", [True, False])
def test_cache_of_another_backbone(other: dict[str, object], create: bool, tmp_path: Path) -> None:
    with EmbeddingCache.open(tmp_path, TOY) as cache:
        cache.append(*toy_clips([1]))
    backbone = SimpleNamespace(**{**vars(TOY), **other})
    with pytest.raises(UsageError, match=r"holds embeddings of toy version 3 \(high 5, low 2\), expected") as caught:
        EmbeddingCache.open(tmp_path, backbone, create=create)
    assert "\n" not in str(caught.value)
    with EmbeddingCache.open(tmp_path, TOY) as cache:  # the lock was released
        check_toy(cache, [1])


def test_one_writer_and_many_readers(tmp_path: Path) -> None:
    with EmbeddingCache.open(tmp_path, TOY) as cache:
        cache.append(*toy_clips([1, 2]))
        with pytest.raises(UsageError, match="another process is writing to it; wait"):
            EmbeddingCache.open(tmp_path, TOY)
        code = "import sys; from pathlib import Path; from types import SimpleNamespace as N\n"
        code += "from soundalike.train.data.cache import EmbeddingCache\n"
        code += f"EmbeddingCache.open(Path(sys.argv[1]), N(**{vars(TOY)!r}))"
        other = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
        assert "another process is writing" in other.stderr
        with EmbeddingCache.open(tmp_path, TOY, create=False) as reader:
            check_toy(reader, [1, 2])
            cache.append(*toy_clips([3]))
            check_toy(reader, [1, 2])
            with pytest.raises(UsageError, match="opened for reading only"):
                reader.append(*toy_clips([4]))
    with EmbeddingCache.open(tmp_path, TOY) as cache:
        check_toy(cache, [1, 2, 3])


def test_folder_that_is_not_a_cache(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no embeddings"):
        EmbeddingCache.open(tmp_path / "none", TOY, create=False)
    assert not (tmp_path / "none").exists()
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "index.sqlite").touch()  # what a process killed at the start leaves
    with pytest.raises(UsageError, match="holds no embeddings"):
        EmbeddingCache.open(tmp_path / "begun", TOY, create=False)
    with EmbeddingCache.open(tmp_path / "begun", TOY) as cache:
        assert len(cache) == 0
    shutil.rmtree(tmp_path / "begun")
    (tmp_path / "song.wav").write_bytes(b"RIFF")
    with pytest.raises(UsageError, match="is not empty and holds no embeddings"):
        EmbeddingCache.open(tmp_path, TOY)
    with pytest.raises(UsageError, match="cannot make a cache"):
        EmbeddingCache.open(tmp_path / "song.wav", TOY)
    assert [file.name for file in tmp_path.iterdir()] == ["song.wav"]


@pytest.mark.parametrize("name", ["high.f32", "low.on"])
@pytest.mark.parametrize("create", [True, False])
def test_truncated_or_missing_file(name: str, create: bool, tmp_path: Path) -> None:
    with EmbeddingCache.open(tmp_path, TOY) as cache:
        cache.append(*toy_clips([1, 2, 3]))
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[:-1])
    with pytest.raises(UsageError, match=rf"{name} is truncated: it holds 2 rows, expected 3; delete the cache folder"):
        EmbeddingCache.open(tmp_path, TOY, create=create)
    (tmp_path / name).unlink()
    with pytest.raises(UsageError, match=rf"{name} cannot be read \(No such file"):
        EmbeddingCache.open(tmp_path, TOY, create=create)
    (tmp_path / name).write_bytes(data)
    with EmbeddingCache.open(tmp_path, TOY, create=create) as cache:
        check_toy(cache, [1, 2, 3])


def test_invalid_index(tmp_path: Path) -> None:
    index = tmp_path / "index.sqlite"
    index.write_text("not a database " * 100)
    for create in (True, False):
        with pytest.raises(UsageError, match=r"index.sqlite cannot be read \(file is not a database\); delete"):
            EmbeddingCache.open(tmp_path, TOY, create=create)
    index.unlink()
    foreign = sqlite3.connect(index)
    foreign.execute("CREATE TABLE songs (name TEXT)")
    foreign.close()
    with pytest.raises(UsageError, match="is not the index of an embedding cache"):
        EmbeddingCache.open(tmp_path, TOY)
    index.unlink()
    EmbeddingCache.open(tmp_path, TOY).close()
    newer = sqlite3.connect(index)
    newer.execute("PRAGMA user_version = 9")
    newer.close()
    with pytest.raises(UsageError, match="has format 9, this version reads 1; upgrade"):
        EmbeddingCache.open(tmp_path, TOY)


def test_stored_clips_survive_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with EmbeddingCache.open(tmp_path, TOY) as cache:
        cache.append(*toy_clips([1, 2]))
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(UsageError, match="cannot write .*high.f32: No space left on device"):
                cache.append(*toy_clips([3]))
        check_toy(cache, [1, 2])
        cache.append(*toy_clips([4, 5]))
        check_toy(cache, [1, 2, 4, 5])


# Killed writers -----------------------------------------------------------------------------------------------------

KILLED = """
    import os, signal, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from test_train_cache import TOY, EmbeddingCache, toy_clips

    real, left = os.fsync, int(sys.argv[3])

    def fsync(handle):
        global left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        real(handle)

    os.fsync = fsync
    with EmbeddingCache.open(Path(sys.argv[2]), TOY) as cache:
        for start in range(0, 40, 4):
            cache.append(*toy_clips(range(start, start + 4)))
            print(len(cache), flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.parametrize("moment", [1, 6, 7, 12, 20])
def test_writer_killed_during_an_append_leaves_complete_clips_only(moment: int, tmp_path: Path) -> None:
    """Every append syncs four files. The process is killed before, between and after some of them."""
    arguments = [sys.executable, "-c", textwrap.dedent(KILLED), str(Path(__file__).parent), tmp_path, str(moment)]
    killed = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    acknowledged = int((killed.stdout.split() or ["0"])[-1])
    assert acknowledged == (moment - 1) // 4 * 4
    assert (tmp_path / "high.f32").stat().st_size > acknowledged * 5 * 4, "the kill left a tail"
    for create in (False, True):
        with EmbeddingCache.open(tmp_path, TOY, create=create) as cache:
            check_toy(cache, range(acknowledged))
    with EmbeddingCache.open(tmp_path, TOY) as cache:
        cache.append(*toy_clips(range(40, 30, -1)))
        check_toy(cache, [*range(acknowledged), *range(40, 30, -1)])
    with EmbeddingCache.open(tmp_path, TOY, create=False) as cache:
        check_toy(cache, [*range(acknowledged), *range(40, 30, -1)])


@pytest.mark.parametrize("tail", [b"x", b"x" * 1000])
def test_incomplete_tail_is_ignored_and_overwritten(tail: bytes, tmp_path: Path) -> None:
    with EmbeddingCache.open(tmp_path, TOY) as cache:
        cache.append(*toy_clips([1, 2]))
    for name in ("high.f32", "high.on", "low.f32", "low.on"):
        with (tmp_path / name).open("ab") as file:
            file.write(tail)
    with EmbeddingCache.open(tmp_path, TOY) as cache:
        check_toy(cache, [1, 2])
        cache.append(*toy_clips([7, 8, 9]))
        check_toy(cache, [1, 2, 7, 8, 9])


@pytest.mark.parametrize("committed", [True, False])
def test_cache_is_usable_after_an_interruption_during_an_append(
    committed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a Ctrl-C just after or just before the commit, the cache reports the clips that are stored."""
    with EmbeddingCache.open(tmp_path, TOY) as cache:
        real = EmbeddingCache._transaction

        def interrupted(self: EmbeddingCache) -> object:
            class InterruptedTransaction:
                def __enter__(self) -> None:
                    inner.__enter__()

                def __exit__(self, *error: object) -> None:
                    stop = KeyboardInterrupt()
                    inner.__exit__(*error if committed else (KeyboardInterrupt, stop, None))
                    raise stop

            inner = real(self)
            return InterruptedTransaction()

        with monkeypatch.context() as patch:
            patch.setattr(EmbeddingCache, "_transaction", interrupted)
            with pytest.raises(KeyboardInterrupt):
                cache.append(*toy_clips([1, 2]))
        check_toy(cache, [1, 2] if committed else [])
        assert cache.append(*toy_clips([2, 3])) == (1 if committed else 2)
        check_toy(cache, [1, 2, 3] if committed else [2, 3])


# Merging ------------------------------------------------------------------------------------------------------------


def test_caches_are_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soundalike.train.data.cache._MERGE_ROWS", 3)
    for name, numbers in (("a", range(8)), ("b", range(5, 15)), ("empty", [])):
        with EmbeddingCache.open(tmp_path / name, TOY) as cache:
            cache.append(*toy_clips(numbers))
    parts = [tmp_path / "a", tmp_path / "empty", tmp_path / "b"]
    assert merge(parts, tmp_path / "all") == 15
    assert merge(parts[::-1], tmp_path / "all") == 15
    assert merge(parts, tmp_path / "b") == 15  # the output is one of the inputs
    for name in ("all", "b"):
        with EmbeddingCache.open(tmp_path / name, TOY, create=False) as cache:
            check_toy(cache, range(15))


def test_only_caches_of_one_backbone_are_merged(tmp_path: Path) -> None:
    EmbeddingCache.open(tmp_path / "a", TOY).close()
    EmbeddingCache.open(tmp_path / "b", SimpleNamespace(**{**vars(TOY), "version": 4})).close()
    with pytest.raises(UsageError, match=r"b holds embeddings of toy version 4 .* expected toy version 3"):
        merge([tmp_path / "a", tmp_path / "b"], tmp_path / "all")
    with pytest.raises(UsageError, match="none holds no embeddings"):
        merge([tmp_path / "none"], tmp_path / "all")
    with pytest.raises(UsageError, match="no caches to merge"):
        merge([], tmp_path / "all")
