"""Faults in `backbones/analysis/` and `audio/loudness.py`: descriptors, key, meter, tempo."""

from mutants.mutant import Mutant

__all__ = ["ANALYSIS"]

_ANALYSIS = "src/soundalike/backbones/analysis"
_DESCRIPTORS = f"{_ANALYSIS}/descriptors.py"
_TIMBRE = ("tests/backbones/test_timbre.py",)
_KEY = ("tests/backbones/test_dsp_backbone.py::test_key_of_a_cadence",)
_LINES = ("tests/backbones/test_onsets_and_lines.py",)

ANALYSIS = (
    Mutant(
        _DESCRIPTORS, "loud = power[total >= 1e-4 * total.max(initial=0.0)]", "loud = power",
        "quiet frames count for timbre", _TIMBRE,
    ),
    Mutant(
        _DESCRIPTORS, "cepstra.mean(axis=0)[1:],", "cepstra.mean(axis=0)[:-1],",
        "the mean of the first cepstrum counts, and that of the last does not", _TIMBRE,
    ),
    Mutant(
        _DESCRIPTORS, "centred = np.roll(pitch_classes.astype(np.float64), -3)  # from C",
        "centred = np.roll(pitch_classes.astype(np.float64), 3)",
        "keys are six semitones off", _KEY,
    ),
    Mutant(
        _DESCRIPTORS, "for mode in (\"major\", \"minor\")", "for mode in (\"minor\", \"major\")",
        "major and minor are exchanged", _KEY,
    ),
    Mutant(
        _DESCRIPTORS, "image, 0, circular=True", "image, 11, circular=False",
        "harmony changes with transposition",
        ("tests/backbones/test_dsp_backbone.py::test_every_feature_has_one_row_per_window",),
    ),
    Mutant(
        _DESCRIPTORS, "across = bands @ dsp.cross_correlation(centred[:, first], centred[:, second])",
        "across = bands @ dsp.cross_correlation(centred[:, first], centred[:, first])",
        "a drum pattern sounds like its permutations", _LINES,
    ),
    Mutant(
        _DESCRIPTORS, "line = np.square(np.maximum(salience - accompaniment, 0.0))",
        "line = np.square(np.maximum(salience, 0.0))",
        "held notes of the accompaniment count as melody", _LINES,
    ),
    Mutant(
        _DESCRIPTORS, "rise[:3] = 0.0\n", "\n",
        "the beginning of a passage is an onset", _LINES,
    ),
    Mutant(
        _DESCRIPTORS, "bool(np.percentile(products, 90) > 0.25)", "bool(np.percentile(products, 90) > -1)",
        "noise has pitch",
        ("tests/backbones/test_dsp_backbone.py::test_noise_has_no_pitch_and_no_tempo",),
    ),
    Mutant(
        f"{_ANALYSIS}/key_and_meter.py", "np.roll(key, tonic, axis=2)", "np.roll(key, -tonic, axis=2)",
        "the key is mirrored around C", ("tests/backbones/test_key_and_meter.py",),
    ),
    Mutant(
        f"{_ANALYSIS}/key_and_meter.py", "if probabilities[best] >= _MIN_METER else None", "",
        "an uncertain meter is reported", ("tests/backbones/test_key_and_meter.py",),
    ),
    Mutant(
        f"{_ANALYSIS}/key_and_meter.py", "if probabilities[best] >= _MIN_KEY else None", "",
        "an uncertain key is reported", ("tests/backbones/test_key_and_meter.py",),
    ),
    Mutant(
        f"{_ANALYSIS}/tempo.py", "found and found.probability >= _MIN_PROBABILITY", "found",
        "an uncertain tempo is reported", ("tests/backbones/test_tempo.py",),
    ),
)  # fmt: skip
