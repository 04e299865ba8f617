"""`soundalike demo`: from a folder to explained matches, on the bundled clips."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from soundalike.api.records.matches import MatchRecord
from soundalike.cli.arguments import GIVEN_PATH, check_folder, jobs_option, json_option, option
from soundalike.cli.cells import clock, rarity, weights_text
from soundalike.cli.commands import command
from soundalike.cli.output import Progress, print_json, print_styled
from soundalike.cli.table import print_facts, print_table
from soundalike.core.errors import one_line

if TYPE_CHECKING:
    from soundalike.api import Library
    from soundalike.demo import Clip, DemoQuery
    from soundalike.library.indexing import IndexReport

__all__ = ["ask", "demo"]


@dataclass(frozen=True, slots=True)
class Question:
    """A question of the demo: the property that right answers share with the query, and the space that finds them."""

    title: str
    why: str
    space: str
    shared: Callable[[Clip], str]


_QUESTIONS = (
    Question("Which clips play the same tune?", "Only melody has a weight: key, groove and instruments may differ.",
             "melody", lambda clip: clip.tune),
    Question("Which clips have the same groove?", "Only rhythm has a weight: tune and instruments may differ.",
             "rhythm", lambda clip: clip.groove),
    Question("Which clips have the same instruments?", "Only timbre has a weight: tune and groove may differ.",
             "timbre", lambda clip: clip.instruments),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class AnswerRecord(MatchRecord):
    """A match of a question, and whether it is right."""

    clip: str
    right: bool


@dataclass(frozen=True, slots=True)
class QuestionRecord:
    """A question with its answers, best first."""

    title: str
    query: str
    weights: Mapping[str, float]
    answers: Sequence[AnswerRecord]


@dataclass(frozen=True, slots=True)
class DemoRecord:
    """The demo; `first_right` counts the clips whose first answer is right, per space."""

    clips: int
    seconds: float
    page: str
    questions: Sequence[QuestionRecord]
    first_right: Mapping[str, int]


def ask(library: Library, collection: Sequence[Clip], query: Clip) -> tuple[DemoQuery, ...]:
    """Ask the three questions about one clip; each gets as many answers as there are right ones."""
    from soundalike.demo import DemoAnswer, DemoQuery

    by_path = {str(clip.path): clip for clip in collection}
    questions = []
    for question in _QUESTIONS:
        expected = sum(question.shared(clip) == question.shared(query) for clip in collection) - 1
        weights = {question.space: 1.0}
        answers = tuple(
            DemoAnswer(clip := by_path[match.path], match, question.shared(clip) == question.shared(query))
            for match in library.search(query.path, weights=weights, k=expected)
        )
        questions.append(DemoQuery(question.title, question.why, weights, query, answers))
    return tuple(questions)


@command("demo")
@option("--page", type=GIVEN_PATH, metavar="FILE", help="Where to write the page (default: a temporary file).")
@option("--no-serve", is_flag=True, help="Exit when the page is written, on a terminal too.")
@jobs_option()
@json_option()
def demo(page: Path | None, no_serve: bool, jobs: int | None, as_json: bool) -> int:
    """Try soundalike on 36 bundled clips: 4 tunes x 3 grooves x 3 instrumentations.

    The clips are indexed into a temporary library. Three searches then ask which clips share the tune, the groove and
    the instruments of one of them. The answers are printed, and written to a page with players. On a terminal, the
    library is then served to a browser until Ctrl-C, as `soundalike serve` does.

    \b
      soundalike demo
      soundalike demo --page demo.html
    """
    from soundalike import api
    from soundalike.core.files import write_atomic
    from soundalike.demo import load_clips, render_page

    collection = load_clips()
    page = page or Path(tempfile.mkdtemp(prefix="soundalike-demo-")) / "soundalike-demo.html"
    check_folder(page)
    with (
        tempfile.TemporaryDirectory(prefix="soundalike-") as folder,
        api.open(Path(folder) / "library", create=True) as library,
    ):
        with Progress("clip", enabled=not as_json) as progress:
            report = library.index(collection[0].path.parent, jobs=jobs, progress=progress)
        if report.interrupted:
            raise KeyboardInterrupt
        questions = ask(library, collection, collection[0])
        first = {question.space: _first_right(library, collection, question) for question in _QUESTIONS}
        content = render_page(questions).encode()
        write_atomic(page, lambda file: file.write(content))
        if as_json:
            records = [_question_record(question) for question in questions]
            print_json(DemoRecord(report.added, report.seconds, str(page), records, first))
            return 0
        _print_answers(collection, questions, report, first)
        print(f"\nlisten to the answers: {page.absolute().as_uri()}")
        if not no_serve and sys.stdout.isatty():
            _serve(library)
    print("next: soundalike index YOUR_MUSIC, then soundalike search SONG")
    return 0


def _serve(library: Library) -> None:
    """Serve the library until Ctrl-C, where the extra `serve` is installed."""
    try:
        from soundalike.serve import ServerSettings, run_server
    except ImportError:
        print("to search the clips in a browser: pip install 'soundalike[serve]'")
        return
    run_server(
        library, ServerSettings(port=0), lambda address: print(f"search them yourself: {address} (Ctrl-C stops)")
    )


def _print_answers(
    collection: Sequence[Clip], questions: Sequence[DemoQuery], report: IndexReport, first: Mapping[str, int]
) -> None:
    print(f"{report.added} clips, {clock(report.audio_seconds)} of music, encoded in {clock(report.seconds)}\n")
    for question in questions:
        _print_question(question)
    counts = (
        f"{one.space} {first[one.space]} of {len(collection)} (chance {_chance(collection, one):.0f})"
        for one in _QUESTIONS
    )
    print("with each of the 36 clips as the query, the first answer is right for:")
    print_facts(*counts, indent=2)


def _first_right(library: Library, collection: Sequence[Clip], question: Question) -> int:
    """The number of clips whose first answer is right."""
    by_path = {str(clip.path): clip for clip in collection}
    found = 0
    for clip in collection:
        for match in library.search(clip.path, weights={question.space: 1.0}, k=1):
            found += question.shared(by_path[match.path]) == question.shared(clip)
    return found


def _chance(collection: Sequence[Clip], question: Question) -> float:
    """The number of first answers that a random order would get right."""
    pairs = sum(question.shared(a) == question.shared(b) for a in collection for b in collection if a is not b)
    return pairs / (len(collection) - 1)


def _print_question(question: DemoQuery) -> None:
    query = question.query
    right = sum(answer.right for answer in question.answers)
    print_styled((question.title, "bold"))
    print_facts(
        f"query {query.title} ({query.key}, {query.tempo:.0f} BPM)",
        f"weights: {weights_text(question.weights)}",
        f"{right} of {len(question.answers)} answers right",
    )
    spaces = list(question.answers[0].match.spaces) if question.answers else []
    rows = [
        [
            "✓" if answer.right else "·",
            str(rank),
            one_line(answer.clip.title),
            f"{answer.match.score:+.2f}",
            *(rarity(answer.match.spaces[name].percentile) for name in spaces),
            f"{answer.clip.tempo:.0f}",
            answer.clip.key,
        ]
        for rank, answer in enumerate(question.answers, start=1)
    ]
    header = ["", "#", "clip", "score", *spaces, "bpm", "key"]
    last = len(header) - 1
    print_table(header, rows, left=[0, 2, last], stretch=2, ranks={last - 1: 2, last: 1})
    print()


def _question_record(question: DemoQuery) -> QuestionRecord:
    answers = [AnswerRecord.of(answer.match, clip=answer.clip.title, right=answer.right) for answer in question.answers]
    return QuestionRecord(question.title, question.query.title, question.weights, answers)
