"""Cache files of derived arrays: saved arrays are loaded unchanged; invalid files are rejected without an exception."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from soundalike.core import mapped_arrays

SMALL = {
    "ids": np.arange(5, dtype=np.int64),
    "rows": np.array([[0.5, np.nan], [-1.0, np.inf]], dtype=np.float32),
    "none": np.zeros((0, 3), dtype=np.uint8),
    "on": np.array([True, False, True]),
}
dtypes = st.sampled_from([np.dtype(name) for name in ("bool", "u1", "i4", "i8", "f4", "f8")])


@given(
    arrays=st.dictionaries(
        st.text(max_size=8),
        arrays_of.arrays(dtypes, arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=9)),
        max_size=4,
    ),
    generation=st.integers(0, 2**62),
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_saved_arrays_are_loaded_unchanged(tmp_path: Path, arrays: dict[str, np.ndarray], generation: int) -> None:
    assert mapped_arrays.save(tmp_path, "some", generation, arrays)
    loaded = mapped_arrays.load(tmp_path, "some", generation)
    assert loaded is not None
    assert list(loaded) == list(arrays)
    for name, array in arrays.items():
        assert (loaded[name].dtype, loaded[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(loaded[name], array)
        assert not loaded[name].flags.writeable
        if array.size:
            assert loaded[name].ctypes.data % 64 == 0
    assert mapped_arrays.verify(tmp_path / "some.derived")
    assert mapped_arrays.load(tmp_path, "some", generation + 1) is None


def test_arrays_may_have_any_memory_layout(tmp_path: Path) -> None:
    grid = np.arange(12, dtype=np.int32).reshape(3, 4)
    mapped_arrays.save(tmp_path, "some", 1, {"transposed": grid.T, "every other": grid[:, ::2]})
    loaded = mapped_arrays.load(tmp_path, "some", 1)
    assert loaded is not None
    np.testing.assert_array_equal(loaded["transposed"], grid.T)
    np.testing.assert_array_equal(loaded["every other"], grid[:, ::2])


def test_missing_files_are_not_loaded_or_verified(tmp_path: Path) -> None:
    mapped_arrays.save(tmp_path, "some", 1, SMALL)
    assert mapped_arrays.load(tmp_path, "other", 1) is None
    assert mapped_arrays.load(tmp_path / "nowhere", "some", 1) is None
    for unreadable in (tmp_path / "other.derived", tmp_path):
        with pytest.raises(OSError, match="No such file|Is a directory|Permission denied"):
            mapped_arrays.verify(unreadable)


def test_every_flipped_byte_is_detected_without_an_exception(tmp_path: Path) -> None:
    mapped_arrays.save(tmp_path, "some", 7, SMALL)
    path = tmp_path / "some.derived"
    whole = path.read_bytes()
    after_header = len(whole) - 3 * 64
    for place in range(len(whole)):
        corrupt = bytearray(whole)
        corrupt[place] ^= 0xFF
        path.write_bytes(corrupt)
        assert not mapped_arrays.verify(path), place
        # `load` checks only the header. `verify` detects corruption after it.
        assert (mapped_arrays.load(tmp_path, "some", 7) is None) == (place < after_header), place


def test_a_file_of_the_wrong_length_is_rejected(tmp_path: Path) -> None:
    mapped_arrays.save(tmp_path, "some", 7, SMALL)
    path = tmp_path / "some.derived"
    whole = path.read_bytes()
    for content in (*(whole[:length] for length in range(len(whole))), whole + b"\0", whole + whole):
        path.write_bytes(content)
        assert mapped_arrays.load(tmp_path, "some", 7) is None
        assert not mapped_arrays.verify(path)


@pytest.mark.parametrize(("name", "value"), [("_FORMAT", 2), ("_MAGIC", b"SNLKDRV2")])
def test_another_format_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: object) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(mapped_arrays, name, value)
        assert mapped_arrays.save(tmp_path, "some", 7, SMALL)
    assert mapped_arrays.load(tmp_path, "some", 7) is None
    assert not mapped_arrays.verify(tmp_path / "some.derived")


def test_another_byte_order_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(mapped_arrays.sys, "byteorder", {"little": "big", "big": "little"}[mapped_arrays.sys.byteorder])
        assert mapped_arrays.save(tmp_path, "some", 7, SMALL)
    assert mapped_arrays.load(tmp_path, "some", 7) is None


def test_a_file_can_be_replaced_while_it_is_mapped(tmp_path: Path) -> None:
    mapped_arrays.save(tmp_path, "some", 1, {"a": np.arange(1000)})
    before = mapped_arrays.load(tmp_path, "some", 1)
    mapped_arrays.save(tmp_path, "some", 2, {"a": np.zeros(5)})
    assert before is not None
    np.testing.assert_array_equal(before["a"], np.arange(1000))
    assert mapped_arrays.load(tmp_path, "some", 1) is None
    assert [file.name for file in tmp_path.iterdir()] == ["some.derived"]


def test_saving_returns_false_where_it_cannot_write(tmp_path: Path) -> None:
    assert not mapped_arrays.save(tmp_path / "nowhere" / "at all", "some", 1, SMALL)
    (tmp_path / "some.derived").mkdir()
    assert not mapped_arrays.save(tmp_path, "some", 1, SMALL)  # a folder is in the way
    assert [file.name for file in tmp_path.iterdir()] == ["some.derived"]
    assert mapped_arrays.load(tmp_path, "some", 1) is None


def test_a_full_disk_raises_no_error(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    mapped_arrays.save(tmp_path, "some", 1, SMALL)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        assert not mapped_arrays.save(tmp_path, "some", 2, {"a": np.zeros(1000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert mapped_arrays.load(tmp_path, "some", 1) is not None
    assert [file.name for file in tmp_path.iterdir()] == ["some.derived"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_read_only_folder_raises_no_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert not mapped_arrays.save(tmp_path, "some", 1, SMALL)
    finally:
        tmp_path.chmod(0o700)


def test_loading_time_does_not_depend_on_the_size(tmp_path: Path) -> None:
    mapped_arrays.save(tmp_path, "large", 1, {"a": np.zeros(8_000_000)})

    def opening() -> float:
        began = time.perf_counter()
        assert mapped_arrays.load(tmp_path, "large", 1) is not None
        return time.perf_counter() - began

    assert min(opening() for _ in range(20)) < 0.005
