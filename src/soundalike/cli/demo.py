"""`soundalike demo`: the main job, from folder to explained answers, on the bundled clips."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from soundalike.cli import show
from soundalike.cli.inputs import check_folder
from soundalike.core.errors import one_line
from soundalike.core.files import write_whole
from soundalike.demo import Clip, DemoAnswer, DemoQuery, load_clips, render_page
from soundalike.library import LibraryFolder
from soundalike.library.indexing import index_files
from soundalike.search import Query, search_library

__all__ = ["ask", "run_demo"]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question of the demo: which clips are right answers, and the slider that should find them."""

    title: str
    why: str
    space: str
    truth: Callable[[Clip], str]


_QUESTIONS = (
    _Asked("Which clips play the same tune?", "The melody slider alone: key, groove and instruments may differ.",
           "melody", lambda clip: clip.tune),
    _Asked("Which clips have the same groove?", "The rhythm slider alone: tune and instruments may differ.",
           "rhythm", lambda clip: clip.groove),
    _Asked("Which clips sound of the same instruments?", "The timbre slider alone: tune and groove may differ.",
           "timbre", lambda clip: clip.instruments),
)  # fmt: skip


def ask(library: LibraryFolder, collection: tuple[Clip, ...], query: Clip) -> tuple[DemoQuery, ...]:
    """The three questions about one clip; each has as many answers as there are right ones."""
    by_path = {str(clip.path): clip for clip in collection}
    questions = []
    for asked in _QUESTIONS:
        right = sum(asked.truth(clip) == asked.truth(query) for clip in collection) - 1
        weights = {asked.space: 1.0}
        result = search_library(library, Query(query.path, weights=weights, k=right))
        answers = tuple(
            DemoAnswer(clip := by_path[match.span.track], match, asked.truth(clip) == asked.truth(query))
            for match in result.matches
        )
        questions.append(DemoQuery(asked.title, asked.why, weights, query, answers))
    return tuple(questions)


def run_demo(args: argparse.Namespace) -> int:
    """Index the clips, ask, print, and write the page."""
    collection = load_clips()
    page = args.page or Path(tempfile.mkdtemp(prefix="soundalike-demo-")) / "soundalike-demo.html"
    check_folder(page)
    progress = show.Progress("clip", enabled=not args.json)
    with (
        tempfile.TemporaryDirectory(prefix="soundalike-") as folder,
        LibraryFolder.create(Path(folder) / "library") as library,
    ):
        report = index_files(library, [collection[0].path.parent], jobs=args.jobs, progress=progress)
        progress.end()
        if report.interrupted:
            raise KeyboardInterrupt
        questions = ask(library, collection, collection[0])
        first = [_first_right(library, collection, asked) for asked in _QUESTIONS]
    write_whole(page, lambda file: file.write(render_page(questions).encode()))
    if args.json:
        show.print_json({
            "clips": report.added, "seconds": report.seconds, "page": str(page),
            "questions": [_question_json(question) for question in questions],
            "first_right": {asked.space: count for asked, count in zip(_QUESTIONS, first, strict=True)},
        })  # fmt: skip
        return 0
    print(
        f"{report.added} clips, {show.clock(report.audio_seconds)} of music, encoded in {show.clock(report.seconds)}\n"
    )
    for question in questions:
        _print_question(question)
    print("over all 36 clips as queries, the first answer is right for: " + ", ".join(
        f"{asked.space} {count} of {len(collection)} (chance {_chance(collection, asked):.0f})"
        for asked, count in zip(_QUESTIONS, first, strict=True)))  # fmt: skip
    print(f"\nlisten to the answers: {page.absolute().as_uri()}")
    print("next: soundalike index YOUR_MUSIC, then soundalike search SONG")
    return 0


def _first_right(library: LibraryFolder, collection: tuple[Clip, ...], asked: _Asked) -> int:
    """For how many clips the first answer is a right one."""
    by_path = {str(clip.path): clip for clip in collection}
    found = 0
    for clip in collection:
        matches = search_library(library, Query(clip.path, weights={asked.space: 1.0}, k=1)).matches
        found += bool(matches) and asked.truth(by_path[matches[0].span.track]) == asked.truth(clip)
    return found


def _chance(collection: tuple[Clip, ...], asked: _Asked) -> float:
    """How many first answers a random order would get right."""
    pairs = sum(asked.truth(a) == asked.truth(b) for a in collection for b in collection if a is not b)
    return pairs / (len(collection) - 1)


def _print_question(question: DemoQuery) -> None:
    query = question.query
    hits = sum(answer.right for answer in question.answers)
    weights = show.weights_text(question.weights)
    print(show.paint(question.title, "bold"))
    print(f"asked with {query.title} ({query.key}, {query.tempo:.0f} BPM; {query.groove}; {query.instruments}); "
          f"weights: {weights}; {hits} of {len(question.answers)} answers right")  # fmt: skip
    spaces = list(question.answers[0].match.spaces) if question.answers else []
    rows = [
        [
            "✓" if answer.right else "·", str(rank), f"{answer.match.score:+.2f}",
            *(show.closeness(answer.match.spaces[name]) for name in spaces), f"{answer.clip.tempo:.0f}", answer.clip.key,
            one_line(f"{answer.clip.tune}; {answer.clip.groove}; {answer.clip.instruments}"),
        ]
        for rank, answer in enumerate(question.answers, start=1)
    ]  # fmt: skip
    show.print_table(
        ["", "#", "score", *spaces, "bpm", "key", "clip"], rows, left=[0, len(spaces) + 4, len(spaces) + 5]
    )
    print()


def _question_json(question: DemoQuery) -> dict[str, object]:
    return {
        "title": question.title, "query": question.query.title, "weights": dict(question.weights),
        "answers": [{"title": answer.clip.title, "right": answer.right, **show.match_json(answer.match)}
                    for answer in question.answers],
    }  # fmt: skip
