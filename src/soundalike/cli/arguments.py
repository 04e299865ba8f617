"""Options and parameter types that several commands share."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from soundalike.cli.config import read_config
from soundalike.cli.suggest import suggest_models, suggest_spaces, suggest_weights
from soundalike.core.errors import UsageError
from soundalike.core.options import Argument, ManyOption, TextType

__all__ = [
    "CONDITION",
    "GIVEN_PATH",
    "LEVEL",
    "NUMBER",
    "NUMBER_RANGE",
    "PLAYLIST_FILE",
    "REGION",
    "WEIGHTS",
    "WholeNumber",
    "argument",
    "bounds_option",
    "check_folder",
    "jobs_option",
    "json_option",
    "library_option",
    "m3u_option",
    "many_option",
    "model_option",
    "option",
    "ray_option",
    "seed_option",
    "shared_parameters",
    "weights_option",
    "where_option",
]

Function = TypeVar("Function", bound=Callable[..., Any])
Decorator = Callable[[Function], Function]

_NUMBER_RANGE = re.compile(r"(\d{1,4}(?:\.\d+)?)\.\.(\d{1,4}(?:\.\d+)?)")


class WholeNumber(TextType):
    """Digits that make a number of at least `lowest`."""

    def __init__(self, lowest: int = 1) -> None:
        super().__init__("N", lambda text: _read_whole_number(text, lowest))


def _read_whole_number(text: str, lowest: int) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < lowest:
        raise ValueError(f"expected a whole number from {lowest}, found {text!r}")
    return int(text)


def _read_number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"expected a number, found {text!r}")
    return number


def _read_path(text: str) -> Path:
    # An empty path usually is a shell variable that is not set; as a path it would mean the current folder.
    if not text:
        raise ValueError("an empty path; give a file or folder")
    return Path(text)


def _read_m3u_file(text: str) -> Path:
    path = _read_path(text)
    if text == "-":
        return path
    if path.suffix.lower() not in (".m3u", ".m3u8"):
        raise ValueError(f"{path} is not a playlist name; give one that ends in .m3u8 or .m3u")
    check_folder(path)
    return path


def _read_playlist_file(text: str) -> Path:
    from soundalike.search import format_of

    path = _read_path(text)
    format_of(path)
    check_folder(path)
    return path


def _read_weights(text: str) -> Mapping[str, float]:
    from soundalike.models import parse_weights

    preset = read_config().presets.get(text)
    return parse_weights(text if preset is None else preset.weights)


def _read_bounds(text: str) -> Mapping[str, float]:
    from soundalike.search import as_bounds

    return as_bounds(text) or {}


def _read_region(text: str) -> tuple[float, float | None]:
    from soundalike.search import parse_region

    return parse_region(text)


def _read_condition(text: str) -> str:
    from soundalike.library.catalog import parse_filter

    parse_filter(text)  # wrong conditions are reported before any work; results show them as typed
    return text


def _read_number_range(text: str) -> tuple[float, float]:
    found = _NUMBER_RANGE.fullmatch(text.strip())
    if not found:
        raise ValueError(f"cannot read the range {text!r}; expected LOW..HIGH, such as 118..126")
    return float(found[1]), float(found[2])


def check_folder(path: Path) -> None:
    """Raise UsageError if the folder of a file to be written does not exist."""
    if not path.absolute().parent.is_dir():
        raise UsageError(f"cannot write {path}: its folder does not exist")


BOUNDS = TextType("SPACE=P,...", _read_bounds)
CONDITION = TextType("CONDITION", _read_condition)
GIVEN_PATH = TextType("PATH", _read_path, complete="file")
LEVEL = click.Choice(["track", "passage"])
NUMBER = TextType("X", _read_number)
NUMBER_RANGE = TextType("LOW..HIGH", _read_number_range)
M3U_FILE = TextType("FILE", _read_m3u_file, complete="file")
PLAYLIST_FILE = TextType("FILE", _read_playlist_file, complete="file")
REGION = TextType("FROM-TO", _read_region)
WEIGHTS = TextType("SPACE=W,...", _read_weights)


# Options ------------------------------------------------------------------------------------------------------------


def argument(*names: str, **attributes: Any) -> Decorator[Any]:
    """Declare a positional argument with a help text."""
    return click.argument(*names, cls=Argument, **attributes)


def option(*names: str, **attributes: Any) -> Decorator[Any]:
    """Declare an option."""
    return click.option(*names, **attributes)


def many_option(*names: str, **attributes: Any) -> Decorator[Any]:
    """Declare an option that takes one or more values."""
    return click.option(*names, cls=ManyOption, **attributes)


def _shared(name: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """A callback that also takes an option from the groups above: `soundalike --library PATH search song.mp3`."""

    def remember(ctx: click.Context, _: click.Parameter, given: Any) -> Any:
        key = f"soundalike.{name}"
        if given:
            ctx.meta[key] = given
        return ctx.meta.get(key, given)

    return remember


def json_option(help: str = "Print JSON with stable keys on standard output.") -> Decorator[Any]:
    """Declare `--json`; the function gets it as `as_json`."""
    return option("--json", "as_json", is_flag=True, callback=_shared("json"), help=help)


def shared_parameters(*names: str) -> list[click.Parameter]:
    """Return options that a group passes on to its commands: "library", "model" and "json"."""
    attributes: Mapping[str, dict[str, Any]] = {
        "library": {"type": GIVEN_PATH, "metavar": "PATH", "help": "Folder of the library."},
        "model": {"metavar": "NAME", "help": "Name or folder of a model.", "shell_complete": suggest_models},
        "json": {"is_flag": True, "help": "Print JSON on standard output."},
    }
    return [
        click.Option([f"--{name}"], expose_value=False, callback=_shared(name), **attributes[name]) for name in names
    ]


def model_option(help: str = "Name or folder of a model (see: soundalike list models).") -> Decorator[Any]:
    """Declare `--model`."""

    def chosen(ctx: click.Context, parameter: click.Parameter, given: str | None) -> str | None:
        found: str | None = _shared("model")(ctx, parameter, given)
        return found if found is not None else read_config().model

    return option("--model", metavar="NAME", callback=chosen, shell_complete=suggest_models, help=help)


def library_option() -> Decorator[Any]:
    """Declare `--library`; the function gets it as `library_path`."""
    return option(
        "--library",
        "library_path",
        type=GIVEN_PATH,
        metavar="PATH",
        callback=_shared("library"),
        help="Folder of the library (default: $SOUNDALIKE_LIBRARY, that of the settings, or a folder in your "
        "application data).",
    )


_EQUAL = "1 each"


def weights_option(default: str = _EQUAL) -> Decorator[Any]:
    """Declare `--weights`."""

    def chosen(_: click.Context, __: click.Parameter, given: Mapping[str, float] | None) -> Mapping[str, float] | None:
        own = read_config().weights if given is None and default == _EQUAL else None
        return given if own is None else _read_weights(own)

    return option(
        "-w",
        "--weights",
        type=WEIGHTS,
        metavar="SPACE=W,...",
        callback=chosen,
        shell_complete=suggest_weights,
        help="How much each space counts, such as melody=2,timbre=-1, or the name of a preset (see: soundalike "
        f"presets). Weights may be negative; spaces that are not named weigh 0 (default: {default}). Spaces of other "
        "models of the library may be named too, such as dsp/rhythm.",
    )


def bounds_option(name: str, help: str) -> Decorator[Any]:
    """Declare an option that bounds percentiles; it may be repeated."""
    return option(name, type=BOUNDS, multiple=True, metavar="SPACE=P,...", shell_complete=suggest_spaces, help=help)


def where_option(what: str = "Only tracks") -> Decorator[Any]:
    """Declare `--where`."""
    return option(
        "--where",
        type=CONDITION,
        metavar="CONDITION",
        help=f"{what} that meet conditions: FIELD OP VALUE or FIELD LOW..HIGH, joined by and, or, not and parentheses. "
        "Fields: bpm, key, meter, their confidences (tempo_confidence, ...), duration, loudness, year, genre, artist, "
        "album_artist, album, title, path. Operators: = != < <= > >= ~ (contains; bpm: half and double tempo too; key: "
        "compatible keys); * in text matches anything. The value query stands for that of the recording that is "
        "searched with, such as bpm ~ query. Tracks without a value never match. See docs/filters.md.",
    )


def m3u_option(what: str) -> Decorator[Any]:
    """Declare `--m3u`."""
    return option(
        "--m3u",
        type=M3U_FILE,
        metavar="FILE",
        help=f"Also write {what} to a playlist (.m3u8, UTF-8); - prints it.",
    )


def jobs_option(help: str = "Number of worker processes (default: one per core).") -> Decorator[Any]:
    """Declare `--jobs`."""
    return option("--jobs", type=WholeNumber(), metavar="N", help=help)


def seed_option(help: str = "Seed of the random numbers (default: 0).") -> Decorator[Any]:
    """Declare `--seed`."""
    return option("--seed", type=WholeNumber(lowest=0), default=0, metavar="N", help=help)


def ray_option() -> Decorator[Any]:
    """Declare `--ray`: the tasks of the command run on a cluster. The function gets no argument for it."""

    def connect(ctx: click.Context, _: click.Parameter, address: str | None) -> None:
        if address is not None and not ctx.resilient_parsing:
            from soundalike.core.executors.ray import ray_cluster

            ctx.with_resource(ray_cluster(address))

    return option(
        "--ray",
        metavar="ADDRESS",
        expose_value=False,
        callback=connect,
        help="Run on a Ray cluster: HOST:PORT, ray://HOST:PORT, auto, or local for Ray on this machine (see "
        "docs/howto/ray.md). --jobs then is the number of tasks at a time (default: two per core of the cluster).",
    )
