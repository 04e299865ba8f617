"""Disk space of a base install, by distribution.

    python benchmarks/install.py [--save DIR]

Installs this checkout into a new virtual environment and adds up the files of every distribution, except pip and
setuptools.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from common import report_of, show_and_save

ROOT = Path(__file__).parents[1]
SIZES = """
import importlib.metadata, json
sizes = {}
for found in importlib.metadata.distributions():
    name = found.metadata["Name"].lower()
    files = [found.locate_file(file) for file in found.files or []]
    sizes[name] = sum(file.stat().st_size for file in files if file.is_file())
print(json.dumps(sizes))
"""


def main() -> None:
    """Install, add up, and print a report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--save", type=Path, metavar="DIR", help="save the report for `soundalike evaluate summary`")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = str(Path(folder) / "bin" / "python")
        subprocess.run([python, "-m", "pip", "install", "--quiet", str(ROOT)], check=True)
        done = subprocess.run([python, "-c", SIZES], capture_output=True, text=True, check=True)
    sizes = {name: size / 1e6 for name, size in json.loads(done.stdout).items() if name not in ("pip", "setuptools")}
    largest = sorted(sizes, key=lambda name: -sizes[name])[:12]
    rest = sum(sizes.values()) - sum(sizes[name] for name in largest)
    rows = {"all": sum(sizes.values()), **{name: sizes[name] for name in largest}, "the rest": rest}
    report = report_of(
        "bench-install",
        "Disk space of a base install",
        "python benchmarks/install.py",
        rows=list(rows),
        columns=["MB"],
        values=[[size] for size in rows.values()],
        n=[[len(sizes)]] + [[1]] * len(largest) + [[len(sizes) - len(largest)]],
        notes=("n: distributions. Without pip and setuptools.",),
    )
    show_and_save(report, args.save)


if __name__ == "__main__":
    main()
