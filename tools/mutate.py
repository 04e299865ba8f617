"""Put faults into the core by hand, one at a time, and see whether the tests that concern each notice it.

    python tools/mutate.py [WORDS...]

`tools/mutants/` lists the faults. Each is applied in a temporary copy of the tree, and its tests are run there. A fault
that no test notices survives; one whose tests do not end within the time limit counts as noticed, and is counted
apart. The exit code is 1 if one survives that is not declared equivalent, if a declared one is noticed, or if the tests
fail without any fault. WORDS select the faults whose file or description contains one of them.

Where the processor lacks AVX-512 VNNI, the compiled kernel is judged with `tools/emulated/`, its intrinsics in plain C.
"""

from __future__ import annotations

import argparse
import ast
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import cache_from_source
from pathlib import Path
from queue import Queue

from mutants import MUTANTS, Mutant

__all__ = ["faulty", "main"]

ROOT = Path(__file__).resolve().parents[1]
_SKIPPED = shutil.ignore_patterns("__pycache__", "*.so", ".git", ".venv", "build", "dist", ".*_cache", "fuzz-faults")
_KERNEL = "src/soundalike/library/stores/scan.c"
_NO_END = "no end after"


def faulty(mutant: Mutant, root: Path = ROOT) -> str:
    """Return the content of the file with the fault. Raises ValueError unless the old text occurs exactly once."""
    text = (root / mutant.file).read_text(encoding="utf-8")
    count = text.count(mutant.old)
    if count != 1:
        raise ValueError(f"{mutant.file}: expected once, found {count} times: {mutant.old!r}")
    return text.replace(mutant.old, mutant.new)


def _flags() -> Sequence[str]:
    """Return the flags of the compiler in `hatch_build.py`, which cannot be imported without hatchling."""
    for node in ast.parse((ROOT / "hatch_build.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FLAGS":
            flags: Sequence[str] = ast.literal_eval(node.value)
            return flags
    raise ValueError("hatch_build.py has no FLAGS")


class _Tree:
    """A copy of the files that tests need."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.emulated = False
        for name in ("src", "tests", "tools", "docs", "benchmarks"):
            shutil.copytree(ROOT / name, folder / name, ignore=_SKIPPED)
        for file in ROOT.iterdir():
            if file.is_file():
                shutil.copy(file, folder)
        self.kernel = self.compile()
        if not self.kernel:
            self.emulated = True
            self.kernel = self.compile()

    def compile(self) -> bool:
        """Compile the scan kernel. Returns whether there is one and this processor can run all of it."""
        source = self.folder / _KERNEL
        command = [
            *shlex.split(os.environ.get("CC") or "cc"),
            *_flags(),
            *(["-I", str(ROOT / "tools" / "emulated")] if self.emulated else []),
            str(source),
            "-o",
            str(source.with_name("_scan.so")),
        ]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            return False
        code = "from soundalike.library.stores import scan_kernel; print('vnni' in scan_kernel.ways())"
        done = subprocess.run([sys.executable, "-c", code], env=self.environment, capture_output=True, text=True)
        return done.stdout.strip() == "True"

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.folder / "src")}

    def passes(self, tests: Sequence[str], seconds: float) -> tuple[bool, str]:
        """Run tests up to the first failure. Returns whether all pass, and the first failure."""
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "--no-header",
            "--tb=line",
            "-p",
            "no:cacheprovider",
            "--hypothesis-profile=once",
            *tests,
        ]
        try:
            done = subprocess.run(
                command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=seconds
            )
        except subprocess.TimeoutExpired:
            return False, f"{_NO_END} {seconds:g} s"
        if done.returncode < 0:
            return False, f"pytest died of signal {-done.returncode}"
        if done.returncode not in (0, 1, 2):  # 2: a test file that cannot even be imported
            raise RuntimeError(f"pytest {' '.join(tests)} exits with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        return done.returncode == 0, failed[0] if failed else ""

    def survives(self, mutant: Mutant, seconds: float) -> tuple[bool, str]:
        """Apply a fault, run its tests, and undo it."""
        path = self.folder / mutant.file
        before = path.read_text(encoding="utf-8")
        self.write(path, faulty(mutant, self.folder))
        try:
            if mutant.file == _KERNEL and not self.compile():
                raise RuntimeError(f"the kernel does not compile with: {mutant.breaks}")
            return self.passes(mutant.tests, seconds)
        finally:
            self.write(path, before)
            if mutant.file == _KERNEL:
                self.compile()

    @staticmethod
    def write(path: Path, text: str) -> None:
        """Write a source file, and drop its compiled module, which looks current if size and second are the same."""
        path.write_text(text, encoding="utf-8")
        Path(cache_from_source(str(path))).unlink(missing_ok=True)


def main() -> int:
    """Run the selected faults; print one line for each, and the survivors. Returns 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only faults whose file or description contains one of these")
    parser.add_argument("--jobs", type=int, default=1, help="number of faults at a time (default: 1)")
    parser.add_argument("--timeout", type=float, default=240, help="seconds per fault (default: 240)")
    parser.add_argument("--no-baseline", action="store_true", help="do not run the tests without a fault first")
    args = parser.parse_args()
    chosen = [one for one in MUTANTS if not args.words or any(w in f"{one.file} {one.breaks}" for w in args.words)]
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soundalike-mutate-") as place:
        trees: Queue[_Tree] = Queue()
        for number in range(args.jobs):
            (Path(place) / str(number)).mkdir()
            trees.put(_Tree(Path(place) / str(number)))
        tree = trees.queue[0]
        left_out = [one for one in chosen if one.file == _KERNEL and not tree.kernel]
        chosen = [one for one in chosen if one not in left_out]
        if not args.no_baseline:
            tests = sorted({test for one in chosen for test in one.tests})
            passed, failure = tree.passes(tests, 20 * args.timeout)
            if not passed:
                print(f"the tests fail without any fault: {failure}")
                return 1
            print(f"all tests pass without any fault, {time.monotonic() - begun:,.0f} s", flush=True)
        emulated = ", kernel emulated" if tree.emulated and tree.kernel else ""
        print(f"{len(chosen)} faults, {len(left_out)} left out for want of a C compiler{emulated}", flush=True)

        def judge(numbered: tuple[int, Mutant]) -> tuple[Mutant, bool, bool]:
            number, mutant = numbered
            own = trees.get()
            start = time.monotonic()
            try:
                survived, failure = own.survives(mutant, args.timeout)
            finally:
                trees.put(own)
            word = "SURVIVED" if survived else "noticed "
            seconds = time.monotonic() - start
            print(f"{number:3} {word} {seconds:3.0f} s  {mutant.file}: {mutant.breaks}  {failure[:110]}", flush=True)
            return mutant, survived, failure.startswith(_NO_END)

        with ThreadPoolExecutor(args.jobs) as pool:
            judged = list(pool.map(judge, enumerate(chosen, start=1)))
    survivors = [one for one, survived, _ in judged if survived and one.equivalent is None]
    declared = [one for one, survived, _ in judged if survived and one.equivalent is not None]
    wrong = [one for one, survived, _ in judged if not survived and one.equivalent is not None]
    noticed, seconds = len(judged) - len(survivors) - len(declared), time.monotonic() - begun
    endless = sum(no_end for _, _, no_end in judged)
    print(
        f"{noticed} noticed ({endless} by the time limit), {len(declared)} equivalent, {len(survivors)} survive, "
        f"{seconds:,.0f} s"
    )
    for one in declared:
        print(f"equivalent: {one.file}: {one.breaks} ({one.equivalent})")
    for one in wrong:
        print(f"NOT EQUIVALENT: {one.file}: {one.breaks}")
    for one in survivors:
        print(f"SURVIVED: {one.file}: {one.breaks}\n  - {one.old!r}\n  + {one.new!r}\n  {' '.join(one.tests)}")
    return 1 if survivors or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
