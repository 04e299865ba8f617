"""Read mutated files of every format as soundalike reads them, and count what is not handled.

    python tools/fuzz.py --files 10000

Every file is a valid one of some format and codec with random mutations: flipped bits, edited sizes, truncation,
insertions, parts of other files. Recordings are hashed, their tags are read, and they are decoded to the end with their
fingerprint; every twentieth is encoded with a model. Playlists, recipes, MIDI files, caches, libraries, exports, and
texts such as conditions are mutated too. Each is read in a worker process with a limit of time and memory.

An input may be read, read with a warning, or refused in one line. Anything else is a fault: another exception, no
answer in time, too much memory, a crash, or something printed by a library. Faults are saved to `--out`. The exit code
is 1 if there are any. The same seed gives the same files; `--only N` repeats one.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from fuzzing.audio_seeds import audio_seeds
from fuzzing.checks import Case
from fuzzing.mutations import mutate, mutate_text
from fuzzing.other_seeds import file_seeds, library_seed, text_seeds
from fuzzing.pool import run_cases

__all__ = ["FAULTS", "Seeds", "main", "make_case"]

FAULTS = ("traceback", "hang", "memory", "crash", "printed")
_HANDLED = ("read", "warned", "failed")
_ENCODE_EVERY = 20


class Seeds:
    """The valid inputs. A library is made only if there is a folder for it, which must exist as long as the cases."""

    def __init__(self, folder: Path | None = None) -> None:
        self.recordings, self.files, self.texts = audio_seeds(), file_seeds(), text_seeds()
        self.library = {} if folder is None else library_seed(folder)
        self.folder = folder
        if folder is not None:
            (folder / "files").mkdir()
            for name, content in self.library.items():
                path = folder / "files" / name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)


def make_case(seeds: Seeds, seed: int, number: int, readers: tuple[str, ...] = ()) -> Case:
    """Return mutated input number `number` of a seed, always the same."""
    chance = random.Random(f"{seed}:{number}")
    kinds = readers or ("recording",) * 16 + ("file", "text", "text") + (("library",) if seeds.library else ())
    reader = chance.choice(kinds)
    if reader == "text":
        name = chance.choice(sorted(seeds.texts))
        return Case(number, reader, name, mutate_text(seeds.texts[name], chance))
    inputs = {"recording": seeds.recordings, "file": seeds.files, "library": seeds.library}[reader]
    name = chance.choice(sorted(inputs))
    content = mutate(inputs[name], list(inputs.values()), chance)
    if reader == "library":
        name = f"{seeds.folder}/files:{name}"
    return Case(number, reader, name, content, reader == "recording" and chance.randrange(_ENCODE_EVERY) == 0)


def main() -> int:
    """Run, print a table, save the faults. Returns 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1000, help="number of inputs (default: 1000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the mutations (default: 0)")
    parser.add_argument("--jobs", type=int, default=1, help="number of worker processes (default: 1)")
    parser.add_argument("--time", type=float, help="stop after this many seconds")
    parser.add_argument("--only", type=int, help="repeat one input")
    parser.add_argument("--limit", type=float, default=20, help="seconds per input (default: 20)")
    parser.add_argument("--memory", type=int, default=256, help="MB that one input may need (default: 256)")
    parser.add_argument("--out", type=Path, default=Path("fuzz-faults"), help="where faults are saved")
    args = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soundalike-fuzz-") as place:
        seeds = Seeds(Path(place))
        made = len(seeds.recordings), len(seeds.files), len(seeds.texts), len(seeds.library)
        print("{} recordings, {} other files, {} texts, {} files of a library".format(*made), flush=True)

        def cases() -> Iterator[Case]:
            for number in range(args.files) if args.only is None else [args.only]:
                if args.time is not None and time.monotonic() - begun > args.time:
                    return
                yield make_case(seeds, args.seed, number)

        counts: Counter[tuple[str, str]] = Counter()
        faults, peak = [], 0
        for case, outcome in run_cases(cases(), args.jobs, args.limit, args.memory << 20):
            format_ = case.seed.partition("-")[0] if case.reader == "recording" else case.reader
            counts[format_, outcome.kind] += 1
            peak = max(peak, outcome.memory)
            if args.only is not None:
                print(f"{case.seed}: {outcome.kind} {outcome.message}")
            if outcome.kind in FAULTS:
                faults.append(_save(case, args.seed, outcome.kind, outcome.message, args.out))
                reason = ascii((outcome.message.splitlines() or [""])[-1][:100])
                print(f"FAULT {case.number} ({case.seed.rpartition(':')[2]}): {outcome.kind}: {reason}", flush=True)
            if counts.total() % 500 == 0:
                print(f"{counts.total():,} read in {time.monotonic() - begun:,.0f} s, {len(faults)} faults", flush=True)
    _print_table(counts)
    seconds = time.monotonic() - begun
    print(f"seed {args.seed}, {counts.total():,} inputs, {seconds:,.0f} s, most memory {peak >> 20} MB")
    if faults:
        (args.out / "faults.json").write_text(json.dumps(faults, indent=1) + "\n", encoding="utf-8")
        print(f"{len(faults)} FAULTS, saved to {args.out}")
    return 1 if faults else 0


def _save(case: Case, seed: int, kind: str, message: str, folder: Path) -> dict[str, object]:
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{seed}-{case.number}-{case.seed.rpartition(':')[2].replace('/', '-')}"
    content = case.content.encode("utf-8", "surrogatepass") if isinstance(case.content, str) else case.content
    (folder / name).write_bytes(content)
    return {"number": case.number, "file": name, "kind": kind, "message": message, "encode": case.encode}


def _print_table(counts: Counter[tuple[str, str]]) -> None:
    kinds = (*_HANDLED, *FAULTS)
    rows = [(name, *(counts[name, kind] for kind in kinds)) for name in sorted({name for name, _ in counts})]
    rows.append(("all", *(sum(count for (_, one), count in counts.items() if one == kind) for kind in kinds)))
    print("".join(f"{title:>11}" for title in ("", *kinds)))
    for row in rows:
        print("".join(f"{cell:>11}" for cell in row))


if __name__ == "__main__":
    sys.exit(main())
