"""Faults in `search/`: queries, results, paths, playlists, versions, alignment."""

from mutants.mutant import Mutant

__all__ = ["SEARCHING"]

_SEARCH = "src/soundalike/search"
_QUERY = ("tests/search/test_compiled_query.py", "tests/api/test_api.py")
_COPIES = ("tests/library/test_folder.py::test_the_query_and_its_copies_are_left_out",)
_VERSIONS = ("tests/search/test_versions.py",)
_COPIES = ("tests/search/test_copies.py",)
_JOURNEYS = ("tests/search/test_paths_and_playlists.py",)

SEARCHING = (
    Mutant(
        f"{_SEARCH}/search.py", "max(RESCORED, 2 * k)", "2 * k",
        "mutual proximity rescores fewer candidates than documented",
        ("tests/models/test_mutual_proximity.py::test_as_many_candidates_are_scored_again_as_documented",),
    ),
    Mutant(
        f"{_SEARCH}/search.py", "if track.id in own:", "if False:",
        "the query is its own best match", _COPIES,
    ),
    Mutant(
        f"{_SEARCH}/search.py", "if answer.is_full or checked < k:", "if True:",
        "copies of the query shorten the list", _COPIES,
    ),
    Mutant(
        f"{_SEARCH}/search.py", "                if bad_rows[number]:\n", "                if False:\n",
        "a corrupt row is a match",
        ("tests/library/test_maintenance.py::test_corrupt_tracks_never_match_and_encoding_again_repairs_them",),
    ),
    Mutant(
        f"{_SEARCH}/compiled_query.py", "queries.append((compiled[-1].sign / len(examples), terms))",
        "queries.append((1 / len(examples), terms))",
        "recordings to be unlike count as recordings to be like", _QUERY,
    ),
    Mutant(
        f"{_SEARCH}/compiled_query.py", "* len(self.examples) * example.sign", "* len(self.examples)",
        "with mutual proximity, recordings to be unlike count as recordings to be like",
        ("tests/models/test_mutual_proximity.py", *_QUERY),
    ),
    Mutant(
        f"{_SEARCH}/query.py", "not last > first", "last < first",
        "an empty region is accepted", (f"{_JOURNEYS[0]}::test_arguments_of_a_wrong_type",),
    ),
    Mutant(
        f"{_SEARCH}/versions.py", "family.update(dict.fromkeys(theirs, ours))", "family[theirs[0]] = ours",
        "a recording is in two families", (f"{_VERSIONS[0]}::test_a_chain_of_single_pairs_makes_no_family",),
    ),
    Mutant(
        f"{_SEARCH}/versions.py", "scorer.mean_between(a, b) > tail.end", "scorer.mean_between(a, b) > tail.start",
        "families are joined from the wrong end of the tail",
        (f"{_VERSIONS[0]}::test_families_between_both_ends_of_the_tail_stay_two",),
    ),
    Mutant(
        f"{_SEARCH}/versions.py", "scores[np.arange(part.start, part.stop)[:, None] == chosen] = np.nan\n", "\n",
        "a recording counts among the others in its own statistics",
        (f"{_VERSIONS[0]}::test_scores_are_standardised_by_those_with_all_other_recordings",),
    ),
    Mutant(
        f"{_SEARCH}/versions.py", "order = order[q[order] <= rate]", "order = order[p[order] <= rate]",
        "the rate of false discoveries is not controlled",
        (f"{_VERSIONS[0]}::test_planted_families_are_found",),
    ),
    Mutant(
        f"{_SEARCH}/significance.py", "np.minimum.accumulate(steps[::-1])[::-1]", "steps",
        "a smaller p-value may have a larger q-value", ("tests/search/test_significance.py",),
    ),
    Mutant(
        f"{_SEARCH}/significance.py", "density + np.log(-np.expm1(-_hazard(width / scale, shape)))", "density",
        "the tail is fitted as if nothing were left out above", ("tests/search/test_significance.py",),
    ),
    Mutant(
        f"{_SEARCH}/collapse.py", "self._met.setdefault(family, track) is track", "self._met.setdefault(family, track) is not track",
        "the best match of a family is left out",
        (f"{_VERSIONS[0]}::test_a_search_lists_the_best_of_every_family", *_QUERY),
    ),
    Mutant(
        f"{_SEARCH}/widest_path.py", "value = np.take_along_axis(reached, origins[-1][:, None], axis=1)[:, 0]",
        "value = reached.min(axis=1)",
        "the path is not the widest", ("tests/search/test_widest_path.py",),
    ),
    Mutant(
        f"{_SEARCH}/widest_path.py", "_, chain = _best_chain(np.where(edges >= smallest, edges, -np.inf), steps, np.add)",
        "_, chain = _best_chain(edges, steps, np.add)",
        "the path with the largest sum wins over the widest one", ("tests/search/test_widest_path.py",),
    ),
    Mutant(
        f"{_SEARCH}/paths.py", "others = {other for group in groups for other in group[1:]}", "others = set[int]()",
        "a recording comes twice on a path", _JOURNEYS,
    ),
    Mutant(
        f"{_SEARCH}/playlists.py", "remaining[[best, *others]] = False", "remaining[best] = False",
        "a recording comes twice in a playlist",
        (f"{_JOURNEYS[0]}::test_a_playlist_keeps_to_its_rules",),
    ),
    Mutant(
        f"{_SEARCH}/playlists.py", "next(number for number in group if allowed[number])", "group[0]",
        "the best file of a recording breaks the rules of a playlist",
        (f"{_JOURNEYS[0]}::test_of_copies_the_best_file_that_keeps_to_the_rules_is_played",),
    ),
    Mutant(
        f"{_SEARCH}/copies.py", "members = [other for other in others if is_copy(best, other)]", "members = others",
        "a copy differs from the best file of its group", _COPIES,
    ),
    Mutant(
        f"{_SEARCH}/duplicates.py", "np.cumsum(sections[longest]) - sections[longest]", "0 * sections[longest]",
        "all tracks are searched by section, whatever the time", _COPIES,
    ),
    Mutant(
        f"{_SEARCH}/duplicates.py", "np.minimum(np.arange(sections[number]) * _STEP, count - _SECTION)", "np.array([0])",
        "only the first section of an album is searched", _COPIES,
    ),
    Mutant(
        f"{_SEARCH}/copies.py", "not (one.silent or other.silent)", "True",
        "silent tracks are copies of each other", _COPIES,
    ),
    Mutant(
        f"{_SEARCH}/answer_list.py", "self._recordings += 1 - len(leaders)", "self._recordings += not leaders",
        "a list is short of recordings that a third file joins", _COPIES,
    ),
    Mutant(
        f"{_SEARCH}/alike.py", "np.maximum(audible, 1)", "len(audible)",
        "likeness is measured against the number of tracks", _COPIES,
    ),
    Mutant(
        f"{_SEARCH}/playlists.py", "redundancy = np.maximum(redundancy, score_rows(own, rows))", "redundancy = score_rows(own, rows)",
        "only the last track counts for variety", _JOURNEYS,
    ),
    Mutant(
        f"{_SEARCH}/playlists.py", "[np.abs(factor * self._bpm - last) for factor", "[(factor * self._bpm - last) for factor",
        "the tempo may fall by any step", _JOURNEYS,
    ),
    Mutant(
        f"{_SEARCH}/align.py", "semitones = (shift + 6) % 12 - 6", "semitones = (6 - shift) % 12 - 6",
        "the transposition has the wrong sign", ("tests/search/test_align.py",),
    ),
    Mutant(
        f"{_SEARCH}/align.py", "* _HOP / _RATE / ratio", "* _HOP / _RATE",
        "the offset is that of the slowed-down match", ("tests/search/test_align.py",),
    ),
)  # fmt: skip
