"""Filling an embedding cache: copies, changed and unreadable files, shards and interruptions."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from conftest import TUNES, tune, write
from soundalike.audio import MonoStream, windows
from soundalike.core import plugins
from soundalike.core.errors import UsageError
from soundalike.core.files import content_hash
from soundalike.train.data import embeddings
from soundalike.train.data.embeddings import EmbeddingCache, embed, merge


def contents(cache: EmbeddingCache) -> dict[str, list[bytes]]:
    """Return the rows and audible flags of every clip, by digest."""
    table = {}
    for digest, position in cache._position.items():
        table[digest] = [cache.rows(f)[position].tobytes() for f in cache.dims]
        table[digest] += [cache.audible(f)[position].tobytes() for f in cache.dims]
    return table


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Six short clips, one of silence, one of 16 s with 5 s of silence at its end, and a copy of the first."""
    folder = tmp_path_factory.mktemp("clips")
    paths = []
    for number in range(6):
        notes = [note + number for note in list(TUNES.values())[number % 4]]
        paths.append(write(folder / f"{number}.wav", tune(notes, seconds=1.5, seed=number)))
    paths.append(write(folder / "silent.wav", np.zeros(22050, np.float32)))
    long = np.concatenate([tune(TUNES["up"], seconds=10), np.zeros(10 * 22050, np.float32)])
    paths.append(write(folder / "long.wav", long))
    (folder / "copy.wav").write_bytes(paths[0].read_bytes())
    return [*paths, folder / "copy.wav"]


@pytest.fixture(scope="module")
def dsp() -> object:
    return plugins.load("backbones", "dsp")


@pytest.fixture(scope="module")
def complete(clips: list[Path], dsp, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[bytes]]:
    """The contents of a cache of all clips, made in one run."""
    calls: list[tuple[int, int, float]] = []
    with EmbeddingCache.open(tmp_path_factory.mktemp("complete"), dsp) as cache:
        report = embed(cache, clips, jobs=2, progress=lambda *numbers: calls.append(numbers))
        assert (report.done, report.cached, report.failed, report.interrupted) == (8, 0, (), False)
        assert set(report.positions) == set(clips)
        assert report.positions[clips[0]] == report.positions[clips[-1]], "copies share a row"
        assert [done for done, _, _ in calls] == list(range(1, 9)) and {total for _, total, _ in calls} == {8}
        assert calls[-1][2] == pytest.approx(6 * 1.5 + 1 + 20, abs=0.01)
        assert cache.find([content_hash(path) for path in clips]).tolist() == [report.positions[p] for p in clips]
        for path in clips:
            features = dsp.features(MonoStream(path, dsp.rate), windows)
            for feature in dsp.dims:
                row, on = cache.rows(feature)[report.positions[path]], features.audible[feature]
                assert cache.audible(feature)[report.positions[path]] == on.any()
                if on.sum() == 1:  # one window, unchanged
                    np.testing.assert_array_equal(row, features.rows[feature][on][0])
                elif on.any():  # silent windows are excluded from the mean
                    assert 1 < on.sum() < len(on) == 3
                    np.testing.assert_allclose(row, features.rows[feature][on].mean(axis=0), rtol=1e-5, atol=1e-7)
                else:
                    assert not row.any()
        assert not cache.audible("melody")[report.positions[clips[6]]]
        return contents(cache)


def test_second_run_hashes_and_encodes_nothing(
    clips: list[Path], dsp, complete, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmbeddingCache.open(tmp_path, dsp) as cache:
        first = embed(cache, clips, jobs=1)
    with EmbeddingCache.open(tmp_path, dsp) as cache:
        with monkeypatch.context() as patch:
            patch.setattr(embeddings, "content_hash", lambda path: pytest.fail("hashed again"))
            patch.setattr("multiprocessing.process.BaseProcess.start", lambda self: pytest.fail("a worker"))
            second = embed(cache, clips, jobs=1)
        assert (second.done, second.cached, second.positions) == (0, 8, first.positions)
        assert contents(cache) == complete


def test_changed_file_is_encoded_again(clips: list[Path], dsp, tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    path.write_bytes(clips[0].read_bytes())
    with EmbeddingCache.open(tmp_path / "cache", dsp) as cache:
        assert embed(cache, [path], jobs=1).positions == {path: 0}
        path.write_bytes(clips[1].read_bytes())  # the same size
        os.utime(path, ns=(1, 1))
        assert embed(cache, [path], jobs=1).positions == {path: 1}


def test_shards_are_disjoint_and_merge_to_the_complete_cache(clips: list[Path], dsp, complete, tmp_path: Path) -> None:
    seen: list[str] = []
    for number in (1, 2):
        with EmbeddingCache.open(tmp_path / str(number), dsp) as cache:
            order = clips if number == 1 else clips[::-1]
            report = embed(cache, order, jobs=1, shard=(number, 2))
            assert report.done == len(cache) > 0 and not report.failed
            assert {content_hash(path) for path in report.positions} == set(contents(cache))
            assert all(int(digest, 16) % 2 == number - 1 for digest in contents(cache))
            seen += contents(cache)
    assert sorted(seen) == sorted(complete)
    assert merge([tmp_path / "1", tmp_path / "2"], tmp_path / "all") == 8
    with EmbeddingCache.open(tmp_path / "all", dsp, create=False) as cache:
        assert contents(cache) == complete
        for number in (0, 3):
            with pytest.raises(UsageError, match="of 2; expected a number from 1 to 2"):
                embed(cache, clips, shard=(number, 2))


def test_unreadable_files_are_skipped_and_reported(clips: list[Path], dsp, tmp_path: Path) -> None:
    cut, text, gone = tmp_path / "cut.wav", tmp_path / "text.wav", tmp_path / "gone.wav"
    cut.write_bytes(clips[0].read_bytes()[:30])
    text.write_text("not sound " * 50)
    bad = [cut, text, gone, tmp_path]
    with EmbeddingCache.open(tmp_path / "cache", dsp) as cache:
        report = embed(cache, [*bad, *bad, clips[0], clips[0]], jobs=2)
        assert report.done == 1 and set(report.positions) == {clips[0]}
        reasons = dict(report.failed)
        assert set(reasons) == set(bad) and len(report.failed) == 4
        assert reasons[gone] == "cannot be read: No such file or directory"
        assert reasons[tmp_path] == "not a regular file"
        assert all(why and "\n" not in why for why in reasons.values())


def test_clip_that_disappears_or_changes_before_encoding_is_reported(clips: list[Path], dsp, tmp_path: Path) -> None:
    one, two = tmp_path / "one.wav", tmp_path / "two.wav"
    one.write_bytes(clips[0].read_bytes())
    two.write_bytes(clips[1].read_bytes())
    with EmbeddingCache.open(tmp_path / "cache", dsp) as cache:
        failed: list[tuple[Path, str]] = []
        wanted = {content_hash(one): [one, tmp_path / "copy.wav"], content_hash(two): [two]}
        one.unlink()
        two.write_bytes(clips[2].read_bytes())
        embeddings._extract_missing(cache, wanted, 1, None, failed)
        assert len(cache) == 0
        assert sorted(failed) == sorted(
            [
                (one, "cannot be read: No such file or directory"),
                (tmp_path / "copy.wav", "cannot be read: No such file or directory"),
                (two, "has changed since it was first read; run the command again"),
            ]
        )


def test_interruption_stores_finished_clips(clips: list[Path], dsp, complete, tmp_path: Path) -> None:
    def stop(done: int, total: int, seconds: float) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with EmbeddingCache.open(tmp_path, dsp) as cache:
        report = embed(cache, clips, jobs=1, progress=stop)
        assert report.interrupted and report.done == len(cache) == 3
        again = embed(cache, clips, jobs=1)
        assert not again.interrupted and (again.done, again.cached) == (5, 3)
        assert contents(cache) == complete
