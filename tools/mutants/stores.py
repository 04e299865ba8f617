"""Faults in `library/stores/`: files of rows, the scan with its compiled kernel, the rerank, row groups."""

from mutants.mutant import Mutant

__all__ = ["STORES"]

_STORES = "src/soundalike/library/stores"
_STORE, _KERNEL = ("tests/library/test_stores.py",), ("tests/library/test_scan_kernel.py",)
_BLOCKS = (f"{_KERNEL[0]}::test_every_block_of_positions_is_scanned",)
_WIDE = (f"{_STORE[0]}::test_forty_thousand_rows_of_real_width",)

STORES = (
    Mutant(
        f"{_STORES}/sidecars.py", "            for file in self._unsynced:\n                os.fsync(file.fileno())\n", "",
        "rows are not synced to disk",
        ("tests/library/test_library_errors.py::test_every_file_is_synced_before_the_catalogue_refers_to_it",),
    ),
    Mutant(
        f"{_STORES}/sidecars.py", "rest = rest[file.write(rest) :]", "rest = rest[len(rest) or file.write(rest) :]",
        "rows are not written", _STORE,
    ),
    Mutant(
        f"{_STORES}/sidecars.py", "            if held < n:\n", "            if False:\n",
        "a truncated file of rows is not reported", (f"{_STORE[0]}::test_features_are_stored_exactly",),
    ),
    Mutant(
        f"{_STORES}/flat.py", "later = np.arange(prefilter.rows, groups.end)", "later = np.arange(groups.end, groups.end)",
        "rows added after the prefilter was built are not found", ("tests/library/test_prefilter.py",),
    ),
    Mutant(
        f"{_STORES}/sidecars.py", "np.rint(rows * np.float32(LEVELS_INT8))", "np.floor(rows * np.float32(LEVELS_INT8))",
        "the scan rounds down, which moves every score",
        (f"{_STORE[0]}::test_the_scan_reads_components_rounded_to_the_nearest",),
    ),
    Mutant(
        f"{_STORES}/row_checksums.py", "zlib.crc32(row, before)", "zlib.crc32(row)",
        "a flipped bit in the exact rows is not found", (f"{_STORE[0]}::test_every_flipped_bit_is_found",),
    ),
    Mutant(
        f"{_STORES}/finalists.py", "ordered[len(best) - k] - margin", "ordered[len(best) - k]",
        "rows that the rounding of the scan put below the k-th are not reranked", _WIDE,
    ),
    Mutant(
        f"{_STORES}/finalists.py", "return np.concatenate([members, np.arange(cut, len(best))])", "return members",
        "the last groups of a large library are never found", _WIDE,
    ),
    Mutant(
        f"{_STORES}/row_groups.py", "np.repeat(np.cumsum(sizes) - sizes, sizes)", "np.repeat(np.cumsum(sizes), sizes)",
        "the passage of a match is another one", _STORE,
    ),
    Mutant(
        f"{_STORES}/row_groups.py", "bounds[:-1] if bounds[-1] == len(scores) else bounds)[::2]",
        "bounds[:-1] if bounds[-1] == len(scores) else bounds)[1::2]",
        "rows that belong to no track are found", _STORE,
    ),
    Mutant(
        f"{_STORES}/row_groups.py", "positions < (self.start + self.size)[unit]", "positions <= (self.start + self.size)[unit]",
        "the row after a track counts as its own", ("tests/library/test_row_groups.py",),
    ),
    Mutant(
        f"{_STORES}/scan_kernel.py", "places: Any = slice(first + low, first + low + size)", "places: Any = slice(first, first + size)",
        "numpy scans the first chunk of rows for every chunk", _KERNEL,
    ),
    Mutant(
        f"{_STORES}/scan_kernel.py", "places = positions[low : low + size]", "places = positions[:size]",
        "numpy scans the first chunk of positions for every chunk", _BLOCKS,
    ),
    Mutant(
        f"{_STORES}/scan_kernel.py", "np.copyto(totals, -np.inf, where=np.logical_not(audible, out=audible))", "pass",
        "rows without an audible space are matches", _KERNEL,
    ),
    Mutant(
        f"{_STORES}/scan_kernel.py", "entry.active |= 1 << number", "entry.active |= 1",
        "only the first query of a batch finds anything", _KERNEL,
    ),
    Mutant(
        f"{_STORES}/scan.c", "flipped += 128 * term->query[j]", "flipped += 127 * term->query[j]",
        "the kernel's dots are off by the sum of the query", _KERNEL,
    ),
    Mutant(
        f"{_STORES}/scan.c", "out[i] = dot(row, term->query, full, dim);", "out[i] = 0;",
        "components beyond a multiple of 16 are left out with AVX2", _KERNEL,
    ),
    Mutant(
        f"{_STORES}/scan_kernel.py", "if dim <= _EXACT:", "if True:",
        "sums that float32 cannot hold are rounded at every step",
        (f"{_KERNEL[0]}::test_dots_beyond_the_whole_numbers_of_float32_are_rounded_once",),
    ),
    Mutant(
        f"{_STORES}/scan.c", "if (whole < dim)\n", "if (0)\n",
        "components beyond a multiple of 64 are left out", _KERNEL,
    ),
    Mutant(
        f"{_STORES}/scan.c", "const int64_t *places = positions ? positions + base : 0;", "const int64_t *places = positions;",
        "the kernel scans the first block of positions for every block", _BLOCKS,
    ),
    Mutant(
        f"{_STORES}/scan.c", "out[base + i] = active[i] ? total[i] : -INFINITY", "out[base + i] = total[i]",
        "rows without an audible space are matches of the kernel", _KERNEL,
    ),
    Mutant(
        f"{_STORES}/scan.c", "for (; i < size; i++) out[i] =", "for (; i + 1 < size; i++) out[i] =",
        "the last rows of a block are not scanned", _KERNEL,
    ),
    Mutant(
        f"{_STORES}/scan.c", "size - step < 16 ? (__mmask16)((1u << (size - step)) - 1) : 0xffff", "0xffff",
        "a batch writes past the end of its scores", _KERNEL,
    ),
)  # fmt: skip
