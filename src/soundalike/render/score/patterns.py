"""Draw drum patterns from a grammar. It lists kinds of groove for each meter, and the lines that each layer may play.

A layer is a pattern of steps, with the same number of steps in each pulse. It repeats until one or two bars are full.
`X` is an accented stroke, `x` a stroke, `?` an optional stroke, `g` an optional ghost note, and `.` is silent. Spaces
are for readability only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.render.score.music import BAR, METERS, PULSE, Groove, Hit

__all__ = ["FILLS", "VOICES", "draw_pattern", "voice"]

# The register of a stroke: low, middle or high. General MIDI percussion notes that are not listed are high.
VOICES = ("low", "snare", "hat")
_LOW = {35, 36, 41, 43, 45, 64}
_SNARE = {37, 38, 39, 40, 47, 48, 50, *range(60, 64), 65, 66, 76, 77}

_CLOSED_HAT, _OPEN_HAT = 42, 46
_TWELFTH = 12  # names give onsets in twelfths of a beat, which are integers for both triplets and sixteenths
_VELOCITY = {"X": 108, "x": 86, "g": 42}
FILLS = {
    3: ("xxx", ".xx", "x.x", "xx."),
    4: ("xxxx", "x.xx", "xx.x", "..xx", ".xxx", "x.x."),
    6: ("x.x.x.", "x.x.xx", "xxxxxx", "x..xx.", "..x.x.", "....xx"),
}
"""Fills of one pulse, by the number of steps in the pulse."""


@dataclass(frozen=True, slots=True)
class _Layer:
    """A layer: one of `drums` plays one of `lines`. It occurs with some `probability`."""

    drums: tuple[int, ...]
    lines: tuple[str, ...]
    probability: float = 1.0


@dataclass(frozen=True, slots=True)
class _Feel:
    """A kind of groove. `steps` is the number of steps per pulse. The first two layers are the kick and the snare."""

    name: str
    steps: int
    layers: tuple[_Layer, ...]
    swing: float = 0.5


def _kick(*lines: str) -> _Layer:
    return _Layer((36, 36, 35), lines)


def _snare(*lines: str) -> _Layer:
    return _Layer((38, 38, 40), lines)


def _stick(*lines: str) -> _Layer:
    return _Layer((37, 37, 39), lines)


_STRAIGHT = _Layer((42, 42, 42, 51, 70), ("x.x.", "x.x.", "X.x.", "xxxx", "x...", "x.x?", "x.xx x.x."))
_BUSY = _Layer((42, 42, 51, 70, 69), ("xxxx", "Xxxx", "x.xx", "xxx.", "x?x?", "xxx. x.xx"))
_SPARSE = _Layer((42, 42, 51, 44), ("x...", "..x.", ".... x...", "x.x.", "x... x.x."))
_OFFBEAT = _Layer((46, 46, 42, 54), ("..X.", "x.X.", "xxXx", "..Xx"))
_LIFT = _Layer((_OPEN_HAT,), (".... .... .... ..x.", "..x. .... .... ....", ".... ..x. .... ..x."), 0.25)
_HAND = _Layer(
    (54, 56, 69, 70, 63, 62, 60, 39, 75),
    ("x...", "..x.", ".... x...", "x..x ..x.", "..x. x..x", "x.x. .xx.", "...x ..x.", "x..x ..x. ..x. x..."),
    0.35,
)
_TRIPLET = _Layer((42, 42, 51, 51, 70), ("x.x", "X.x", "xxx", "x..", "x.. x.x", "x.? x.x"))
_TRIPLET_HAND = _Layer((54, 56, 69, 70, 39), ("x..", "..x", "... x..", "... x.x", "x.x .x."), 0.3)
_EIGHTHS = _Layer((42, 42, 51, 51, 70, 54), ("xxx", "Xxx", "x.x", "x..", "xx.", "x.x x..", "xx? x.x"))
_COMPOUND_HAND = _Layer((54, 56, 69, 70, 63, 62, 60, 75), ("x..", "..x", ".xx", "x.x", "x.x .x.", ".x. x.x"), 0.35)
_SIXTHS = _Layer((42, 42, 51, 70), ("x.x.x.", "X.x.x.", "x...x.", "x.xxx.", "x.x.xx", "xxxxxx"))

_FEELS: Mapping[str, tuple[_Feel, ...]] = {
    "4/4": (
        _Feel("rock", 4, (_kick("X.?? ..?? x.?? ..??"), _snare(".... X..g .g.. X..g"), _STRAIGHT, _LIFT, _HAND)),
        _Feel("rock", 4, (_kick("X.?. ..x? ?.x. ..?."), _snare(".... X..g .g.. X..g"), _STRAIGHT, _LIFT)),
        _Feel("half-time", 4, (
            _kick("X..? ..?x .... ?.??", "X.?? ...? ..?. x..?"),
            _snare(".... .... X..g ..g."), _BUSY)),
        _Feel("four on the floor", 4, (_kick("X..."), _stick(".... X..?", ".... X... ..?. X..?"), _OFFBEAT, _HAND)),
        _Feel("disco", 4, (_kick("X... X..? X... X.??"), _snare(".... X..g ..g. X..g"), _OFFBEAT, _HAND)),
        _Feel("funk", 4, (
            _kick("X.?? ..?? ..x? .?.?"),
            _snare(".... X.gg .g.g X.gg", "...? X..x .g.x X..g"), _BUSY, _LIFT)),
        _Feel("boom bap", 4, (
            _kick("X.?. ..?x ..x? ..?.", "X..x ...? .?x. ...?"),
            _snare(".... X..g .... X..g"), _STRAIGHT)),
        _Feel("breakbeat", 4, (
            _kick("X.?. ..?. ..X? ..?.", "X.X. .... ..?X ...."),
            _snare(".... X..g .g.. X..?"), _STRAIGHT)),
        _Feel("motown", 4, (_kick("X.?. ..x. ?.x. ..?."), _snare("X..."), _STRAIGHT, _HAND)),
        _Feel("one drop", 4, (_kick(".... .... X... ..?."), _stick("..?. ...? X..? ..??"), _STRAIGHT, _HAND)),
        _Feel("steppers", 4, (
            _kick("X... x... X... x..?"),
            _stick(".... .... X... ..??", "...? X... ..?. X.??"), _STRAIGHT, _HAND)),
        _Feel("reggaeton", 4, (_kick("X... X..? X... X.?."), _snare("...X ..x? ...X ..x?"), _SPARSE, _HAND)),
        _Feel("bossa nova", 4, (
            _kick("X... ..x. X... ..x.", "X..? ..x. X..? ..x."),
            _stick("x... ..x. .... x... .... x... ..x. ...?", "..x. x... ...x ..x. ..?. x... ..x. ...."),
            _STRAIGHT, _HAND)),
        _Feel("samba", 4, (_kick("x..x X..x"), _snare("x?.x .?x. ?x.x .x?.", "g.gX ..gX g.gX .Xg."), _BUSY, _HAND)),
        _Feel("son", 4, (
            _kick("...x ..X. ...x ..X?", "X..? ..x. ...x ..x."),
            _stick("x..x ..x. ..x. x...", "..x. x... x..x ..x.", "x..x ...x ..x. x..."),
            _SPARSE,
            _Layer((63, 64, 62), ("g.x. g.xx", "..x. ..xx", "?.xx ..x?")))),
        _Feel("train", 4, (_kick("X... x...", "X..? x.?."), _snare("x?Xx", "xxXx xxX?", "x?X? xxXx"), _SPARSE)),
        _Feel("two-beat", 4, (
            _kick("X... .... x... ..?."),
            _snare("..x. ..x?", "..X. X.x? ..X. ..x?"), _SPARSE, _HAND)),
        _Feel("march", 4, (
            _kick("X... .... x... ..?."),
            _snare("X.x? x.xx x?x. X.x?", "X.xx X.?. X.xx x?x."), _SPARSE)),
        _Feel("ballad", 4, (
            _kick("X... ..?. x.?. ..?.", "X... .... ..x. ..?."),
            _stick(".... X...", ".... X... .... X.?."), _STRAIGHT)),
        _Feel("tom-tom", 4, (
            _kick("X... ..?. X.?. ...."),
            _Layer((41, 43, 45), ("x.?x ?.x. x?.x ..x?",)), _SPARSE, _HAND)),
        _Feel("shuffle", 3, (_kick("X.. ..? x.? ..?"), _snare("... X.g ..g X.g"), _TRIPLET, _TRIPLET_HAND), 0.667),
        _Feel("half-time shuffle", 3, (_kick("X.? ..? ..x ..?"), _snare(".g. .g. Xg. .g."), _TRIPLET), 0.667),
        _Feel("swing", 3, (
            _kick("?.. ?.. ?.. ?.?", "X.. x.. X.. x.."),
            _snare("..? ... .?? ..?", "..g ?.. ..g ..?"),
            _Layer((51, 51, 42), ("X.. x.x", "x.x X.x", "X.. x.? X.. x.x")),
            _Layer((44,), ("... x..",))), 0.667),
        _Feel("slow blues", 3, (_kick("X.? ... x.? ..?"), _snare("... X.. ... X.?"), _TRIPLET, _TRIPLET_HAND), 0.667),
    ),
    "3/4": (
        _Feel("waltz", 4, (_kick("X... .... ..?."), _snare(".... x..? x..?", ".... x.?. x.?."), _SPARSE, _HAND)),
        _Feel("waltz", 4, (_kick("X... ..?. ..?."), _stick(".... x..? x.?."), _STRAIGHT, _HAND)),
        _Feel("rock waltz", 4, (
            _kick("X.?? ..?? ..??"),
            _snare(".... .g.. X..g", ".... X..g ..g."), _STRAIGHT, _HAND)),
        _Feel("rock waltz", 4, (
            _kick("X.?. ..?. ..?. X.?. x.?. ..?."),
            _snare(".... ..g. X..g .... ..g. X.gg"), _BUSY)),
        _Feel("country waltz", 4, (_kick("X... .... ...."), _snare(".... x.x? x.x?", "..g. x.?. x.xx"), _SPARSE)),
        _Feel("hemiola", 4, (
            _kick("X... .... x... .... x... ..?.", "X... ..x. ...."),
            _snare(".... X... .... X... .... X..?", ".... ..x? .... ..g. X... ..g."),
            _STRAIGHT, _HAND)),
        _Feel("vals criollo", 4, (_kick("X... ..?. x..."), _stick("..x. x.x? ..x?", ".x?. x.?. x.x."), _SPARSE, _HAND)),
        _Feel("mazurka", 4, (_kick("X..x .... ..?."), _snare("..?x X..? x...", "...x x... X..?"), _SPARSE, _HAND)),
        _Feel("half-time waltz", 4, (
            _kick("X.?. ..?? ..?. ..?. ..x. ..??"),
            _snare(".... .... ..g. X..g ..g. ...."), _BUSY)),
        _Feel("jazz waltz", 3, (
            _kick("X.. ..? ..?", "?.. ..? x.."),
            _snare("..? .?. ..?", "... ..x ..?"),
            _Layer((51, 51, 42), ("X.. x.x x..", "X.x x.. x.x", "X.. x.x x.?")),
            _Layer((44,), ("... x.. ...", "... x.. x..", "... ... x..")), _TRIPLET_HAND), 0.667),
        _Feel("shuffle waltz", 3, (
            _kick("X.? ..? ..?"),
            _snare("... x.g x.g", "... ..g X.g"), _TRIPLET, _TRIPLET_HAND), 0.667),
    ),
    "6/8": (
        _Feel("ballad", 3, (
            _kick("X.. ..?", "X.? ..x X.? ..?"),
            _snare("... X..", "... X.g ... X.?"), _EIGHTHS, _COMPOUND_HAND)),
        _Feel("ballad", 6, (_kick("X...?? ..?.??"), _snare("...... X...?g", "....g. X....g"), _SIXTHS)),
        _Feel("jig", 3, (
            _kick("X.. x..", "X.? x.?"),
            _Layer((38, 37, 62), ("x?x X?x", "X.x x.x", "x.x X?x x?x Xx?")), _EIGHTHS)),
        _Feel("jig", 3, (
            _kick("X.x X.x", "X.. X.x X.x X.?"),
            _Layer((54, 70, 37), ("x?x", "xxx", "X.x x?x")), _COMPOUND_HAND)),
        _Feel("afro", 3, (
            _kick("X.. x..", "X.? .x. ..? x..", "..x X.. ..x X.?"),
            _Layer((62, 63, 60), ("?.x .?x x.? .xx", ".x? x.x .?x x.?")),
            _Layer((56, 67, 53, 75), ("x.x .xx .x. x.x", "x.x .x. xx. x.x", "x.x x.x .x. x.x", "x.x .x. x.x .x.")),
            _Layer((70, 69), ("x..", "xxx", "x.x"), 0.6))),
        _Feel("hemiola", 3, (
            _kick("X.. X..", "X.? ..x"),
            _snare("x.x .x?", "..x .x.", "... x.. .x. x.?"),
            _Layer((51, 42, 56), ("x.x .x.",)), _COMPOUND_HAND)),
        _Feel("march", 6, (
            _kick("X..... x.....", "X..... x...?."),
            _snare("X.?.x. x.x?x.", "x...x. X.xxx.", "X.x?x. X.x.x?"), _SIXTHS)),
        _Feel("tarantella", 3, (
            _kick("X.. x.?", "X.. ..."),
            _Layer((54, 38), ("Xxx", "X?x xxx", "x.x Xxx")), _COMPOUND_HAND)),
        _Feel("slow blues", 3, (
            _kick("X.? ..? x.? .??"),
            _snare("... X.g ... X.?", "... X.. ... X.g"), _EIGHTHS, _COMPOUND_HAND)),
        _Feel("half-time", 3, (
            _kick("X.? ..x .?. ..?"),
            _snare("... ... X.g .?.", "..g ... X.. ..g"), _EIGHTHS, _COMPOUND_HAND)),
        _Feel("rock", 3, (_kick("X.x ..? X.? .?x", "X.? ..x ?.x ..?"), _snare("... X.g"), _EIGHTHS, _COMPOUND_HAND)),
        _Feel("tom-tom", 3, (
            _kick("X.. ..?", "X.? x.."),
            _Layer((41, 43, 45), ("x?x .x?", "x.? xx? .xx x.?")), _COMPOUND_HAND)),
    ),
    "9/8": (
        _Feel("slip jig", 3, (
            _kick("X.. x.. x..", "X.. ..? x.?"),
            _Layer((38, 37, 62), ("x.x", "X?x x?x x?x", "x.x xxx x?x")), _EIGHTHS)),
        _Feel("slip jig", 3, (
            _kick("X.x ..? x.x", "X.? x.? x.?"),
            _Layer((54, 70, 37), ("xxx x?x x?x", "X.x")), _COMPOUND_HAND)),
        _Feel("hop jig", 3, (
            _kick("X.. ... x..", "X.. x.. ..?"),
            _snare("x.x X.x x.?", "..x X.x ?.x"), _EIGHTHS, _COMPOUND_HAND)),
        _Feel("ballad", 3, (
            _kick("X.. ..? ..?", "X.? ..? .?x"),
            _snare("... ... X.?", "... X.g ..?", "... X.. X.?"), _EIGHTHS, _COMPOUND_HAND)),
        _Feel("ballad", 6, (
            _kick("X...?? ....?? ..?.??"),
            _snare("...... ....g. X....g", "...... X....g X...g."), _SIXTHS)),
        _Feel("compound waltz", 3, (
            _kick("X.. ... ..?"),
            _stick("... x.? x.?", "... x.x x.x"), _EIGHTHS, _COMPOUND_HAND)),
        _Feel("rock", 3, (
            _kick("X.x ..? .?x", "X.? ..x ?.x"),
            _snare("... X.g X.g", "..g ... X.g", "... X.? .?."), _EIGHTHS, _COMPOUND_HAND)),
        _Feel("march", 6, (
            _kick("X..... x..... x.....", "X..... ....?. x....."),
            _snare("X.?.x. x.x?x. x...x?", "x...x. X.xxx. x?x.x."), _SIXTHS)),
        _Feel("afro", 3, (
            _kick("X.. x.. x..", "X.? .x. ..?"),
            _Layer((62, 63, 60), ("?.x .?x x.?", ".x? x.x .?x")),
            _Layer((56, 67, 75), ("x.x .x. x.x", "x.x x.x .x.", "x.x .xx .x.")),
            _Layer((70, 69), ("x..", "xxx", "x.x"), 0.6))),
        _Feel("tom-tom", 3, (
            _kick("X.. ..? ..?", "X.. x.. x.?"),
            _Layer((41, 43, 45), ("x?x .x? x?x", "x.? xx? .xx")), _COMPOUND_HAND)),
    ),
}  # fmt: skip


def voice(drum: int) -> str:
    """Return the member of `VOICES` that a General MIDI percussion note belongs to.

    Example:
        >>> voice(36)
        'low'
    """
    return "low" if drum in _LOW else "snare" if drum in _SNARE else "hat"


def draw_pattern(rng: np.random.Generator, meter: str) -> Groove:
    """Draw a pattern of one or two bars, repeated to two or four bars with a small variation in the last bar.

    Args:
        rng: The random generator.
        meter: One of METERS.

    Returns:
        The groove. Its `name` is the kind of groove. Its `source` lists the onsets of the pattern by voice, without
        velocities, variation and choice of drums, so the same rhythm always has the same source.

    Raises:
        UsageError: The meter is unknown.

    Example:
        >>> draw_pattern(np.random.default_rng(0), "6/8").meter
        '6/8'
    """
    if meter not in METERS:
        raise UsageError(f"no meter {meter!r}; expected one of {', '.join(METERS)}")
    feel = _FEELS[meter][rng.integers(len(_FEELS[meter]))]
    steps = round(BAR[meter] / PULSE[meter]) * feel.steps  # per bar
    layers = []
    for layer in feel.layers:
        lines = [line for text in layer.lines if (2 * steps) % len(line := text.replace(" ", "")) == 0]
        if rng.random() < layer.probability:
            layers.append((int(rng.choice(layer.drums)), str(rng.choice(lines))))
    bars = int(rng.integers(1, 3)) if all(steps % len(line) == 0 for _, line in layers) else 2
    busy = rng.uniform(0.15, 0.55)
    core = [(drum, _draw_marks(rng, line, bars * steps, busy)) for drum, line in layers]
    repeats = int(rng.choice([2, 4])) // bars
    played = [(drum, list(marks) * repeats) for drum, marks in core]
    _vary(rng, played, layers, feel.steps, steps, busy)
    step = BAR[meter] / steps
    hits = _hits(rng, played, step)
    source = f"pattern:{meter} {_onset_text(core, steps, step)}"
    return Groove(feel.name, source, meter, bars * repeats * BAR[meter], hits, feel.swing)


def _draw_marks(rng: np.random.Generator, line: str, steps: int, busy: float) -> list[str]:
    """Repeat a line to a number of steps, and draw which of its optional strokes are played."""
    probabilities = {"?": busy, "g": busy}
    played = {"?": "x", "g": "g"}
    return [
        mark if mark not in probabilities else played[mark] if rng.random() < probabilities[mark] else "."
        for mark in (line[k % len(line)] for k in range(steps))
    ]


def _vary(
    rng: np.random.Generator,
    played: list[tuple[int, list[str]]],
    layers: Sequence[tuple[int, str]],
    pulse: int,
    bar: int,
    busy: float,
) -> None:
    """Vary the last bar: play a fill on its last pulse, or draw kick and snare again. `pulse`, `bar`: in steps."""
    if rng.random() < 0.5:
        fill = FILLS[pulse][rng.integers(len(FILLS[pulse]))]
        drum, marks = played[1]
        marks[-pulse:] = fill
        if rng.random() < 0.4:  # play the fill on a tom
            played[1] = (drum, [*marks[:-pulse], *"." * pulse])
            played.append((int(rng.choice([45, 47, 48])), [*"." * (len(marks) - pulse), *fill]))
    else:
        for (_, marks), (_, line) in zip(played[:2], layers[:2], strict=True):
            steps = max(bar, len(line))
            marks[-bar:] = _draw_marks(rng, line, steps, min(1.0, busy + 0.2))[-bar:]


def _hits(rng: np.random.Generator, played: Iterable[tuple[int, list[str]]], step: float) -> tuple[Hit, ...]:
    """Return the strokes in order of time. An open hi-hat replaces a closed one on the same step."""
    marks = {(k, drum): mark for drum, line in played for k, mark in enumerate(line) if mark != "."}
    hits = []
    for k, drum in sorted(marks):
        if drum == _CLOSED_HAT and (k, _OPEN_HAT) in marks:
            continue
        velocity = _VELOCITY[marks[k, drum]] + rng.normal(0, 4) - (14 if voice(drum) == "hat" else 0)
        hits.append(Hit(k * step, drum, int(np.clip(velocity, 25, 127))))
    return tuple(hits)


def _onset_text(lines: Iterable[tuple[int, list[str]]], bar: int, step: float) -> str:
    """List the onsets of each voice in twelfths of a beat. Repetition and rotation by bars do not change the text."""
    voices: dict[str, set[int]] = {}
    total = bar
    for drum, line in lines:
        voices.setdefault(voice(drum), set()).update(k for k, mark in enumerate(line) if mark != ".")
        total = len(line)

    def rotated(first: int, length: int) -> str:
        words = []
        for name in VOICES:
            onsets = sorted({(k - first) % length for k in voices.get(name, ())})
            words += [f"{name}:{','.join(str(round(k * step * _TWELFTH)) for k in onsets)}"] if onsets else []
        return " ".join(words)

    same = all({(k + bar) % total for k in onsets} == onsets for onsets in voices.values())
    return min(rotated(first, bar if same else total) for first in range(0, total, bar))
