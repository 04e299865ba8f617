"""Faults in `core/`, `audio/` and `api/`: processes, files, plug-ins, decoding, tags, fingerprints."""

from mutants.mutant import Mutant

__all__ = ["CORE"]

_CORE, _AUDIO, _API = "src/soundalike/core", "src/soundalike/audio", "src/soundalike/api"

CORE = (
    Mutant(
        f"{_CORE}/executors/cores.py", "math.ceil(quota)", "math.floor(quota)",
        "a quota of 1.5 cores counts as 1", ("tests/core/test_cores.py",),
    ),
    Mutant(
        f"{_CORE}/executors/cores.py", "    while folder != mounted:\n", "    while False:\n",
        "the quota of the groups around a service is not read", ("tests/core/test_cores.py",),
    ),
    Mutant(
        f"{_CORE}/executors/processes.py", "sys.modules[\"__main__\"] = ModuleType(\"__main__\")", "pass",
        "workers run the script of the caller again", ("tests/core/test_processes.py",),
    ),
    Mutant(
        f"{_CORE}/plugins.py", "if point.name in _bundled(folder):", "if False:",
        "an entry point that takes the name of a bundled member is not reported", ("tests/core/test_plugins.py",),
    ),
    Mutant(
        f"{_CORE}/plugins.py", "@cache\ndef _scan(", "def _scan(",
        "every look-up of a plug-in scans all distributions", ("tests/core/test_plugins.py",),
    ),
    Mutant(
        f"{_CORE}/spelling.py", "return name if name in exact else", "return",
        "of files that differ in case only, the wrong one is taken", ("tests/core/test_spelling.py",),
    ),
    Mutant(
        f"{_CORE}/mapped_arrays.py", "header.generation != generation", "header.generation > generation",
        "a cache of an older generation is used", ("tests/core/test_mapped_arrays.py",),
    ),
    Mutant(
        f"{_CORE}/files.py", "                os.fsync(file.fileno())\n", "",
        "a file gets its name before its content is on disk", ("tests/core/test_files.py",),
    ),
    Mutant(
        f"{_CORE}/serialise.py", "if not math.isfinite(value):", "if math.isnan(value):",
        "infinity is written as JSON, which has no such number", ("tests/core/test_serialise.py",),
    ),
    Mutant(
        f"{_CORE}/options.py", "if argument == \"--\":", "if argument == \"---\":",
        "-- does not end the options", ("tests/core/test_options.py",),
    ),
    Mutant(
        f"{_AUDIO}/same_audio.py", "self.errors.mean() <= _MEAN_ERROR", "self.errors.mean() <= 2 * _MEAN_ERROR",
        "half of the required agreement makes a copy", ("tests/audio/test_agreement.py",),
    ),
    Mutant(
        f"{_AUDIO}/same_mix.py", "<= _STEEP", "<= 9 * _STEEP",
        "a steady part that is left out counts as an equaliser", ("tests/audio/test_same_mix.py",),
    ),
    Mutant(
        f"{_AUDIO}/fingerprint.py", "loud = energy[1:].sum(axis=1)", "loud = energy[:-1].sum(axis=1)",
        "whether a frame is silent is judged by the frame before", ("tests/audio/test_silent_frames.py",),
    ),
    Mutant(
        f"{_AUDIO}/fingerprint.py", "waiting = waiting[frames * _HOP :]", "waiting = waiting[frames * _HOP + 1 :]",
        "the fingerprint depends on the blocks of the stream", ("tests/audio/test_fingerprint.py",),
    ),
    Mutant(
        f"{_AUDIO}/dsp.py", "shift = per_semitone // 2 - round(offset * per_semitone)",
        "shift = per_semitone // 2 + round(offset * per_semitone)",
        "the tuning offset has the wrong sign", ("tests/audio/test_dsp.py",),
    ),
    Mutant(
        f"{_AUDIO}/dsp.py", "    power[:, :2] = 0.0\n", "",
        "a constant counts as sound", ("tests/audio/test_dsp.py",),
    ),
    Mutant(
        f"{_AUDIO}/dsp.py", "pending.append(rest.copy())", "pending.append(rest)",
        "samples change when the caller uses its buffer again", ("tests/audio/test_dsp.py",),
    ),
    Mutant(
        f"{_AUDIO}/dsp.py", "frames - np.arange(frames), 0.5 * frames", "frames - np.arange(frames), 1.0",
        "long lags, which have few products, are too noisy", ("tests/audio/test_dsp.py",),
    ),
    Mutant(
        f"{_API}/arguments.py", "if id(source) not in opened:", "if True:",
        "a file object that is given twice is read twice, and empty the second time",
        ("tests/api/test_api.py",),
    ),
    Mutant(
        f"{_AUDIO}/keys.py", "(1 if ring in \"dm\" else 8)", "(1 if ring in \"dm\" else 7)",
        "codes of the Camelot wheel are an hour off", ("tests/audio/test_keys.py",),
    ),
    Mutant(
        f"{_AUDIO}/keys.py", "for step in (0, 7, -7)", "for step in (0, 7)",
        "the key one hour before is not compatible", ("tests/audio/test_keys.py",),
    ),
    Mutant(
        f"{_AUDIO}/id3.py", "references = re.findall(r\"\\d+|RX|CR\", found[1])", "references = re.findall(r\"\\d+|RX|CR\", found[1])[:1]",
        "of several references to genres only the first counts", ("tests/audio/test_id3.py",),
    ),
    Mutant(
        f"{_AUDIO}/tags.py", "or [name for name in album_artists if is_artist(name)]", "or album_artists",
        "Various Artists is the artist of every track of a compilation", ("tests/audio/test_tags.py",),
    ),
    Mutant(
        f"{_AUDIO}/tags.py", "value / 100 if value >= _HUNDREDTHS", "value / 10 if value >= _HUNDREDTHS",
        "a tempo in hundredths is not read", ("tests/audio/test_tags.py",),
    ),
    Mutant(
        f"{_CORE}/text.py", "unicodedata.normalize(\"NFC\", unicodedata.normalize(\"NFC\", text).casefold())", "text.casefold()",
        "text whose accents are not composed differs", ("tests/library/test_filter_columns.py", "tests/library/test_filters.py"),
    ),
)  # fmt: skip
