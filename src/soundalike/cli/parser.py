"""What can be typed, and the help that teaches it."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from soundalike import __version__
from soundalike.cli import help_texts
from soundalike.core.errors import UsageError

__all__ = ["build_parser", "default_library", "given_path", "parse_region", "whole_number"]

_MAIN = """\
Find music that sounds alike, and hear why: melody, rhythm, timbre and harmony are scored separately,
weighed as you like, and every result shows what each contributed.

  soundalike demo                           see it at work on 36 bundled clips
  soundalike index ~/Music                  listen to a folder (only what is new or changed)
  soundalike search song.mp3                what sounds like it?
  soundalike search song.mp3 -w rhythm=1,timbre=-1
                                            same groove, other sound
  soundalike compare a.wav b.wav            why do these two sound alike?
"""

_INDEX = """\
Listen to every recording below the folders (or to single files; - reads paths from standard input) and keep what
was heard in the library. Only new or changed files are encoded; a moved one is recognised. It can be interrupted at
any time: the next run goes on. Vanished files are marked, and removed by --prune.

With --keep-features what the model's backbone hears in every passage, before any head, is kept too: 0.6 MB for 4
minutes with the default model. Another model with that backbone, or a new version of this one, then needs no listening:
`index` projects what was kept, thousands of tracks a minute. It holds for one run, whose tracks are listened to once
more if they were encoded without it; a run without it leaves what is kept as it is, and makes use of it.
`soundalike library info` says what it takes.

  soundalike index ~/Music --keep-features
  soundalike index ~/Music --model my/model      a second model on the same backbone
"""

_EMBED = """\
Arrays path, start, end, and one (n, d) float32 array per space under its short name; unit rows, or zero where there
is nothing to hear. Loads with numpy.load(FILE, allow_pickle=False). A name that ends in .parquet gives columns of the
same names, with a list of d numbers per space, and path_bytes, the path exactly; it needs soundalike[parquet].
"""

_DEMO = """\
Index 36 bundled clips (4 tunes x 3 grooves x 3 instrumentations) into a temporary library, ask which of them share
the tune, the groove and the instruments of one, and write a page with players.
"""

_JSON = "print JSON with stable keys on standard output"

_WHERE = (
    "only tracks that meet conditions: FIELD OP VALUE or FIELD a..b, joined by 'and'. Fields: bpm key key_confidence "
    "meter duration loudness year genre artist album title path. Operators: = != < <= > >= ~ (contains); * in text "
    "stands for anything"
)


class _Parser(argparse.ArgumentParser):
    """Errors in the form of all others, a UsageError. `fill` adds what is costly to know once it is needed."""

    fill: Callable[[argparse.ArgumentParser], None] | None = None

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does, after filling in what was put off."""
        if self.fill is not None:
            fill, self.fill = self.fill, None
            fill(self)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> Any:
        raise UsageError(f"{message}; see: {self.prog} --help")


def _lazily(name: str) -> Callable[[argparse.Namespace], int]:
    """A command that is imported when it runs, so that `--help` is quick."""
    module, _, function = name.partition(":")

    def run(args: argparse.Namespace) -> int:
        return int(getattr(import_module(f"soundalike.cli.main.{module}"), function)(args))

    return run


def build_parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = _Parser(prog="soundalike", description=_MAIN, formatter_class=formatter)
    parser.add_argument("--version", action="version", version=f"soundalike {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, run: str, summary: str, description: str | None = None) -> _Parser:
        made: _Parser = commands.add_parser(
            name, help=summary, description=description or summary, formatter_class=formatter
        )
        made.add_argument("--json", action="store_true", help=_JSON)
        made.set_defaults(run=_lazily(run))
        return made

    made = command(
        "index",
        "indexing:run_index",
        "listen to folders of music, and keep what was heard",
        _INDEX,
    )
    made.add_argument(
        "sources", nargs="+", type=given_path, metavar="DIR", help="folders or files; - reads a list of them"
    )
    made.add_argument("--prune", action="store_true", help="remove tracks whose files have vanished")
    made.add_argument("--retry", action="store_true", help="try files again that failed before")
    made.add_argument(
        "--keep-features", action="store_true", help="keep what other models with the same backbone would listen for"
    )
    made.add_argument("--jobs", type=whole_number, metavar="N", help="processes to use (default: one a core)")
    _model_and_library(made)

    made = command("search", "search:run_search", "find what sounds like a recording", help_texts.SEARCH)
    made.add_argument("audio", metavar="AUDIO", help="the recording to ask with; - for standard input")
    _weights(made)
    example: dict[str, Any] = {"nargs": "+", "action": "append", "default": [], "metavar": ("FILE", "SPACE=W,...")}
    made.add_argument(
        "--like", **example, help="another recording to be like, by its own weights (default: those of -w)"
    )
    made.add_argument("--unlike", **example, help="a recording to be unlike, by its own weights (default: those of -w)")
    made.add_argument("--region", type=_region, metavar="FROM-TO", help="ask with a part of AUDIO, such as 0:30-0:40")
    made.add_argument("--by", choices=("track", "passage"), help="compare whole tracks or passages")
    made.add_argument("--hubness", choices=("none", "mutual-proximity"), default="none", help=help_texts.HUBNESS)
    made.add_argument("-k", type=whole_number, default=10, metavar="N", help="how many matches (default: 10)")
    made.add_argument("--where", metavar="CONDITION", help=_WHERE)
    made.add_argument("--exclude-same-artist", action="store_true", help="leave out the query's own artist")
    made.add_argument("--include-self", action="store_true", help="let the query and its copies be matches")
    made.add_argument("--collapse", action="store_true", help="of versions of a piece (see: versions) only the best")
    made.add_argument("--m3u", type=given_path, metavar="FILE", help="write the matches as a playlist too (UTF-8)")
    _model_and_library(made)

    made = command("path", "journeys:run_path", "go from one track to another in small steps", help_texts.PATH)
    made.add_argument("a", metavar="A", help="where to start: a recording, in the library or not")
    made.add_argument("b", metavar="B", help="where to arrive")
    made.add_argument("-n", type=whole_number, default=8, metavar="STEPS", help="tracks in between (default: 8)")
    _journey(made)

    made = command("playlist", "journeys:run_playlist", "choose tracks like one, with variety", help_texts.PLAYLIST)
    made.add_argument("seed", metavar="SEED", help="a recording, in the library or not; - for standard input")
    made.add_argument("-n", type=whole_number, default=30, metavar="LENGTH", help="how many tracks (default: 30)")
    made.add_argument("--spread", type=float, default=0.3, metavar="S", help="variety, from 0 to 1 (default: 0.3)")
    made.add_argument("--tempo", metavar="LOW..HIGH", help="only tracks of this tempo, in BPM: 118..126")
    made.add_argument("--tempo-step", type=float, metavar="PERCENT", help="each this near to the tempo before it")
    _journey(made)

    made = command(
        "duplicates", "families:run_duplicates", "list tracks that are the same recording", help_texts.DUPLICATES
    )
    made.add_argument("--m3u", type=given_path, metavar="FILE", help="write them as a playlist too (UTF-8)")
    _model_and_library(made)

    made = command("versions", "families:run_versions", "list covers, live takes and remasters", help_texts.VERSIONS)
    _weights(made, "melody=2,harmony=1")
    made.add_argument(
        "--false-discovery-rate", type=float, default=0.05, metavar="Q", help="share of chance pairs (default: 0.05)"
    )
    made.add_argument("--m3u", type=given_path, metavar="FILE", help="write them as a playlist too (UTF-8)")
    _model_and_library(made)

    made = command(
        "compare",
        "search:run_compare",
        "say how much two recordings sound alike, and where",
        (
            "Score B as an answer to A, as a search would, and show each space's best matching passages.\n\n"
            "  soundalike compare a.wav b.wav --align     transposition, tempo ratio and offset as well\n"
        ),
    )
    made.add_argument("a", metavar="A")
    made.add_argument("b", metavar="B")
    _weights(made)
    made.add_argument("--region", type=_region, metavar="FROM-TO", help="use a part of A only")
    made.add_argument("--region-b", type=_region, metavar="FROM-TO", help="use a part of B only")
    made.add_argument("--by", choices=("track", "passage"), help="compare as whole tracks or by passages")
    made.add_argument("--align", action="store_true", help="find transposition, tempo ratio and offset")
    _model_and_library(made)

    made = command(
        "embed",
        "embed:run_embed",
        "write the vectors of recordings to a .npz or .parquet file",
        _EMBED,
    )
    made.add_argument("audio", nargs="+", metavar="AUDIO", help="recordings; - for standard input")
    made.add_argument("-o", "--output", type=given_path, required=True, metavar="FILE", help="a .npz or .parquet file")
    made.add_argument(
        "--by", choices=("track", "passage"), default="passage", help="rows: passages (default) or tracks"
    )
    _model_and_library(made)

    made = command("list", "listing:run_list", "list models, spaces and plug-ins, with licences")
    made.add_argument("what", choices=("models", "spaces", "backbones", "datasets", "protocols", "stores"))

    made = command("library", "library:run_info", "look into a library, or take all of it out or in")
    made.fill = _library_actions

    made = command(
        "demo",
        "demo:run_demo",
        "see the main job done on 36 bundled clips",
        _DEMO,
    )
    made.add_argument(
        "--page", type=given_path, metavar="FILE", help="where to write the page (default: a temporary file)"
    )
    made.add_argument("--no-serve", action="store_true", help="end when the page is written")
    made.add_argument("--jobs", type=whole_number, metavar="N", help="processes to use (default: one a core)")

    made = command(
        "render", "rendering:run_render", "make triplets of music in which one factor is controlled", help_texts.RENDER
    )
    made.add_argument("-o", "--output", type=given_path, required=True, metavar="DIR", help="where the folders go")
    made.add_argument("--folders", type=whole_number, required=True, metavar="N", help="how many of every factor")
    made.add_argument("--factors", metavar="F,...", help="some of melody,rhythm,timbre,harmony (default: all)")
    made.add_argument("--part", choices=("train", "validation", "test"), help="only this part of the split")
    made.add_argument("--seed", type=partial(whole_number, lowest=0), default=0, metavar="N", help="default: 0")
    made.add_argument("--seconds", type=_length, default=10.0, metavar="S", help="length of a clip (default: 10)")
    made.add_argument("--rate", type=partial(whole_number, lowest=16000), default=32000, metavar="HZ", help="32000")
    made.add_argument("--format", choices=("wav", "flac"), default="wav", help="of the clips (default: wav)")
    made.add_argument("--stems", action="store_true", help="write every part of every clip too")
    made.add_argument("--tunes", type=given_path, metavar="PATH", help="folder or archive of MIDI files with melodies")
    made.add_argument(
        "--grooves", type=given_path, metavar="PATH", help="folder or archive of MIDI files with drumming"
    )
    made.add_argument(
        "--soundfont",
        action="append",
        default=[],
        metavar="FILE[=PART]",
        help="use this soundfont, and others so given, in train or test (default: what is installed)",
    )
    made.add_argument("--jobs", type=whole_number, metavar="N", help="processes to use (default: one a core)")

    made = command("evaluate", "evaluating:run_evaluate", "measure how good a model is, and write reports")
    made.fill = _protocols

    made = command("train", "training:run_dsp", "fit a model from audio, as the bundled ones were made")
    made.fill = _models
    return parser


def _protocols(parser: argparse.ArgumentParser) -> None:
    from soundalike.cli.evaluate import add_protocols

    def common(made: argparse.ArgumentParser) -> None:
        _json(made)
        _model(made)

    add_protocols(parser.add_subparsers(title="protocols", metavar="PROTOCOL", required=True), common)


def _models(parser: argparse.ArgumentParser) -> None:
    from soundalike.cli.train import add_models
    from soundalike.cli.train_compact import add_compact

    models = parser.add_subparsers(title="models", metavar="MODEL", required=True)
    add_models(models, _json)
    add_compact(models, _json)


def _library_actions(parser: argparse.ArgumentParser) -> None:
    from soundalike.cli.library import add_actions

    def common(made: argparse.ArgumentParser) -> None:
        _json(made)
        _library(made)

    add_actions(parser.add_subparsers(title="actions", metavar="ACTION", required=True), common, _model)


def _weights(parser: argparse.ArgumentParser, default: str = "1 each") -> None:
    parser.add_argument(
        "-w",
        "--weights",
        metavar="SPACE=W,...",
        help=f"how much each space counts, of any sign: melody=2,timbre=-1 (not named: 0; default: {default})",
    )


def _journey(parser: argparse.ArgumentParser) -> None:
    """What `path` and `playlist` have in common."""
    _weights(parser)
    parser.add_argument("--where", metavar="CONDITION", help=_WHERE)
    parser.add_argument("--m3u", type=given_path, metavar="FILE", help="write it as a playlist too (UTF-8)")
    _model_and_library(parser)


def _json(parser: argparse.ArgumentParser) -> None:
    """`--json` of a command within a command: what was said before its name still holds."""
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=_JSON)


def _model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="NAME", help="a model's name or folder (see: soundalike list models)")


def _library(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--library",
        type=given_path,
        default=None,
        metavar="PATH",
        help="the library's folder (default: $SOUNDALIKE_LIBRARY, or a folder among your application data)",
    )


def _model_and_library(parser: argparse.ArgumentParser) -> None:
    _model(parser)
    _library(parser)


def default_library() -> Path:
    """`$SOUNDALIKE_LIBRARY`, or `soundalike/library` in the platform's folder for application data."""
    chosen = os.environ.get("SOUNDALIKE_LIBRARY")
    if chosen:
        return Path(chosen)
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "soundalike" / "library"


def whole_number(text: str, lowest: int = 1) -> int:
    """Read digits as a number of at least `lowest`. Raises argparse.ArgumentTypeError."""
    if not text.isascii() or not text.isdigit() or int(text) < lowest:
        raise argparse.ArgumentTypeError(f"expected a whole number from {lowest}, found {text!r}")
    return int(text)


def _length(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 4 <= seconds <= 60:
        raise argparse.ArgumentTypeError(f"expected 4 to 60 seconds, found {text!r}")
    return seconds


def _region(text: str) -> tuple[float, float | None]:
    try:
        return parse_region(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def parse_region(text: str) -> tuple[float, float | None]:
    """Read "0:30-0:40", "30-40" or "1:02:03.5-" (to the end) as seconds. Raises UsageError."""
    start, dash, end = text.partition("-")
    try:
        region = (_seconds(start), _seconds(end) if end else None)
    except ValueError:
        region = (0.0, 0.0)
    if not dash or (region[1] is not None and region[1] <= region[0]):
        raise UsageError(f"cannot read the region {text!r}; expected FROM-TO such as 0:30-0:40, or FROM- to the end")
    return region


def _seconds(text: str) -> float:
    parts = text.split(":")
    if len(parts) > 3 or not all(re.fullmatch(r"\d{1,6}(\.\d+)?", part) for part in parts):
        raise ValueError(text)
    if any(float(part) >= 60 for part in parts[1:]):
        raise ValueError(text)
    return sum(float(part) * 60.0**place for place, part in enumerate(reversed(parts)))


def given_path(text: str) -> Path:
    """A path that was really given: an unset variable of a shell is not the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("an empty path; give a file or folder")
    return Path(text)
