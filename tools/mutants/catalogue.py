"""Faults in `library/catalog/`, `library/indexing/`, `library/exchange/` and what opens a library."""

from mutants.mutant import Mutant

__all__ = ["CATALOGUE"]

_CATALOG, _INDEXING = "src/soundalike/library/catalog", "src/soundalike/library/indexing"
_FILTERS = ("tests/library/test_filters.py", "tests/library/test_filter_columns.py")
_INTEGRITY = "tests/library/test_integrity.py"
_COLUMNS = (f"{_INTEGRITY}::test_a_change_of_any_value_in_any_table_is_found",)
_INDEX = ("tests/library/test_indexing.py",)

CATALOGUE = (
    Mutant(
        f"{_INDEXING}/writer.py", "        self._library.store.flush()\n", "",
        "rows are not on disk before the catalogue refers to them",
        ("tests/library/test_library_errors.py::test_every_file_is_synced_before_the_catalogue_refers_to_it",),
    ),
    Mutant(
        f"{_INDEXING}/writer.py", "if track is None or not entry.task.same_sound:", "if track is None:",
        "corrupt features are encoded again, but neither they nor the rows are replaced",
        ("tests/library/test_kept_features.py::test_corrupt_features_are_extracted_and_stored_again",),
    ),
    Mutant(
        f"{_INDEXING}/writer.py", "self._catalog.mark([task.track.id], unreadable=True)", "pass",
        "a file that can no longer be decoded counts as readable",
        (f"{_INDEX[0]}::test_a_track_that_turns_bad_is_no_match_but_not_forgotten",),
    ),
    Mutant(
        f"{_INDEXING}/find_files.py", "self._above[folder] = above if own is None else (own, *above)",
        "self._above[folder] = above",
        "files are not found to be below the folders that were given", ("tests/library/test_places.py",),
    ),
    Mutant(
        "src/soundalike/library/presence.py", "if len(paths) > 1 or", "if len(paths) > 2 or",
        "a missing disk of two tracks counts as two deleted files",
        ("tests/library/test_moves.py::test_prune_keeps_what_may_lie_on_a_disk_below_the_folder",),
    ),
    Mutant(
        f"{_CATALOG}/line_checksums.py",
        "    \"SELECT * FROM families WHERE track_id IN (SELECT value FROM json_each(?))\",\n", "",
        "a flipped bit in a version family is not found", _COLUMNS,
    ),
    Mutant(
        f"{_CATALOG}/line_checksums.py", "NOT IN ('generation', 'seal')", "NOT IN ('generation', 'seal', 'epoch')",
        "a flipped bit in the epoch is not found", _COLUMNS,
    ),
    Mutant(
        f"{_CATALOG}/line_checksums.py",
        "    \"SELECT * FROM kept WHERE track_id IN (SELECT value FROM json_each(?)) ORDER BY track_id, backbone\",\n", "",
        "a flipped bit in the list of stored features is not found", _COLUMNS,
    ),
    Mutant(
        f"{_CATALOG}/line_checksums.py", "b\"T%d:\" % len(text)", "b\"T\"",
        "text moved from one column to the next is not found",
        (f"{_INTEGRITY}::test_what_moves_from_one_column_to_the_next_changes_the_checksum",),
    ),
    Mutant(
        f"{_CATALOG}/transactions.py", "renew_checksums(database, self._changed)", "pass",
        "checksums are those of the entries before", _COLUMNS,
    ),
    Mutant(
        f"{_CATALOG}/transactions.py", "database.execute(\"UPDATE meta SET value = value + 1 WHERE name = 'generation'\")",
        "pass", "caches of an older generation are used",
        ("tests/library/test_filter_columns.py::test_columns_are_saved_and_computed_again_after_a_change",),
    ),
    Mutant(
        f"{_CATALOG}/failures.py", "before[0][0] + 1 if before else 1", "1",
        "the attempts at a file are not counted",
        (f"{_INDEX[0]}::test_failures_are_tried_again_only_on_request_or_change",),
    ),
    Mutant(
        f"{_CATALOG}/catalog.py", "forms = (path, *other_forms(path))", "forms = (path,)",
        "a path typed as NFC does not find a track that macOS listed as NFD",
        ("tests/test_platforms.py::test_a_track_is_found_in_every_unicode_form",),
    ),
    Mutant(
        f"{_CATALOG}/filter_parser.py", "        if low > high:\n", "        if low >= high:\n",
        "a range a..a is refused", _FILTERS,
    ),
    Mutant(
        f"{_CATALOG}/filter_parser.py", "NumberCondition(field, \">=\", low), NumberCondition(field, \"<=\", high)))\n\n    def _bounds",
        "NumberCondition(field, \">=\", low), NumberCondition(field, \"<\", high)))\n\n    def _bounds",
        "the upper end of a range does not belong to it", _FILTERS,
    ),
    Mutant(
        f"{_CATALOG}/filters.py", "for factor in (0.5, 1.0, 2.0)", "for factor in (1.0, 2.0)",
        "half the tempo does not match", _FILTERS,
    ),
    Mutant(
        f"{_CATALOG}/filter_parser.py", "found: Expression = Not(self._one())", "found: Expression = Not(self._any())",
        "not binds less tightly than and", _FILTERS,
    ),
    Mutant(
        f"{_CATALOG}/filter_parser.py", "number = 60 * number + float(part)", "number = number + float(part)",
        "a duration of 3:30 is 33 seconds", _FILTERS,
    ),
    Mutant(
        f"{_CATALOG}/filter_columns.py", "return met & (numbers == numbers) if symbol == \"!=\" else met", "return met",
        "a track without a value matches !=", _FILTERS,
    ),
    Mutant(
        f"{_CATALOG}/filter_columns.py", "chosen[self.ids] = self.matches(", "chosen[self.ids - 1] = self.matches(",
        "the filter selects the tracks before", _FILTERS,
    ),
    Mutant(
        "src/soundalike/library/maintenance.py", "held = column.held[np.unique(column.held[:, 0], return_index=True)[1]]",
        "held = column.held[np.unique(column.held[:, 2], return_index=True)[1]]",
        "vacuum copies rows that tracks share twice",
        ("tests/library/test_maintenance.py::test_a_vacuum_frees_space_and_changes_nothing_else",),
        equivalent="rows that tracks share go to the same place, so copying them twice writes the same bytes",
    ),
    Mutant(
        "src/soundalike/library/maintenance.py", "        if library.store.corrupt(column.table, column.space, column.dim, positions).any():\n            raise",
        "        if False:\n            raise",
        "vacuum gives corrupt rows a new checksum",
        ("tests/library/test_maintenance.py::test_a_vacuum_does_not_copy_corrupt_rows",),
    ),
    Mutant(
        "src/soundalike/library/kept_features.py", "if backbone in stored and stored[backbone] != features:", "if False:",
        "features of another version of a backbone are used",
        ("tests/library/test_kept_features.py::test_features_of_another_version_of_the_backbone_are_dropped",),
    ),
    Mutant(
        "src/soundalike/library/folder.py", "if Place.of(self.catalog) != place:", "if False:",
        "a reader fails if a vacuum moves rows while it opens the library",
        ("tests/library/test_maintenance.py::test_a_vacuum_between_a_snapshot_and_its_rows_is_no_error",),
    ),
    Mutant(
        "src/soundalike/library/exchange/format.py", "~(np.abs(lengths - 1) <= _TOLERANCE)", "(np.abs(lengths - 1) > _TOLERANCE)",
        "an import accepts rows that are not a number", ("tests/library/test_exchange.py",),
    ),
    Mutant(
        "src/soundalike/library/exchange/read.py", "if row[\"number\"] != number:", "if False:",
        "an import accepts tracks out of order", ("tests/library/test_exchange.py",),
    ),
)  # fmt: skip
