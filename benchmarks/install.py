"""What an installation weighs, how long it takes, and what each extra adds.

    python benchmarks/install.py [--extras NAME ...] [--page FILE] [--save DIR]

Builds the wheel of this checkout, downloads it with its dependencies, installs them without network into a new virtual
environment, and adds up the files of every distribution except pip and setuptools. Then it installs every extra, adds
up what is new, and uninstalls that again. `--page` writes docs/install.md.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common import report_of, show_and_save

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TEMPLATE = Path(__file__).with_name("install.md")
SIZES = """
import importlib.metadata, json
found = {}
for each in importlib.metadata.distributions():
    files = [file for file in (each.locate_file(file) for file in each.files or []) if file.is_file()]
    bytecode = sum(file.stat().st_size for file in files if file.suffix == ".pyc")
    found[each.metadata["Name"].lower()] = each.version, sum(file.stat().st_size for file in files), bytecode
print(json.dumps(found))
"""
IMPORTED_AS = {"lazy-loader": "lazy_loader"}  # where the name of a distribution is not the name of its module

# What each dependency is for, and what would be lost without it.
PURPOSE = {
    "numpy": ("all arithmetic", "nothing works"),
    "scipy": (
        "Fourier and cosine transforms; the filters of the loudness meter; the fit of version families; incomplete "
        "gamma functions for mutual proximity; exact intervals; the filters of `render`",
        "numpy has the transforms, but other last bits, so every library would be encoded again; it has no recursive "
        "filters, and none of the special functions",
    ),
    "soundfile": ("reads PCM and FLAC, writes audio", "PyAV would read them, and nothing would write"),
    "soxr": ("resampling", "FFmpeg's resampler in PyAV could do it; every library would be encoded again"),
    "av": (
        "FFmpeg: MP3, AAC, ALAC, Vorbis, Opus, WMA, Matroska and all other formats; tags of some of them",
        "soundfile reads WAV, FLAC, Vorbis, Opus and MP3, where its MP3 reader stops at stray bytes; no AAC, ALAC, "
        "WMA, WavPack, Monkey's Audio or video",
    ),
    "tinytag": ("tags", "no artist, title, genre or year of most formats"),
    "safetensors": ("weights of models and checkpoints", "models need another format without code in it"),
    "onnxruntime": (
        "the three networks of `compact`, the default model",
        "only the model `dsp`",
    ),
    "platformdirs": ("where the library and caches lie by default", "these paths per system, by hand"),
    "rich": ("progress and tables; brings pygments", "plain lines"),
    "click": ("the command line", "no commands"),
    "pathspec": ("patterns of files to leave out", "no `--exclude` and no `.soundalikeignore`"),
    "lazy-loader": ("fast start: modules load on first use", "a slower start of every command"),
}
# What each extra is for.
EXTRAS = {
    "render": "`soundalike render` and `evaluate render`; also needs FluidSynth and a soundfont of the system",
    "train": "`soundalike train heads` and `train compact`; searching with what they make does not need it",
    "demucs": "the separators `demucs` and `demucs6`",
    "mert": "the models that `soundalike models install` installs, except `musicnn`",
    "plot": "the pictures of `evaluate --plot`",
    "faiss": "the prefilter for libraries above three million rows",
    "parquet": "Parquet, in and out",
    "milvus": "libraries whose rows are in Milvus: `library push`, `library pull` and `serve --store`",
    "pandas": "`to_dataframe()` of results",
    "ray": "`--ray`: index, embed, separate, render, train and evaluate on a [cluster](howto/ray.md); URLs of object "
    "stores",
    "serve": "`soundalike serve`: the HTTP interface, OpenSubsonic and the page; `make demo` installs it",
    "map": "maps by UMAP, which keep neighbours together, for the page of `soundalike serve`; without it, PCA. And, "
    "with `plot`, the pictures of `evaluate mes --tsne`",
}


@dataclass(frozen=True, slots=True)
class Size:
    """A distribution: its version, and the MB of its files and of the bytecode among them."""

    version: str
    total: float
    bytecode: float


@dataclass(frozen=True, slots=True)
class Installed:
    """Distributions by name, MB to download, and seconds of pip, without the download."""

    sizes: Mapping[str, Size]
    download: float
    seconds: float

    @property
    def total(self) -> float:
        """The MB of all files."""
        return sum(size.total for size in self.sizes.values())


class Environment:
    """A new virtual environment, and a folder with the wheel of this checkout."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.wheels = folder, folder / "wheels"
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        self.pip("wheel", "--no-deps", "--wheel-dir", self.wheels, ROOT)
        self.wheel = next(self.wheels.glob("soundalike-*.whl"))

    def python(self, *arguments: object) -> str:
        """Run the Python of the environment: its output."""
        command = [self.folder / "venv" / "bin" / "python", *map(str, arguments)]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    def pip(self, *arguments: object) -> None:
        """Run pip in the environment."""
        self.python("-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)

    def sizes(self) -> dict[str, Size]:
        """What is installed."""
        found = json.loads(self.python("-c", SIZES))
        return {
            name: Size(version, total / 1e6, bytecode / 1e6)
            for name, (version, total, bytecode) in found.items()
            if name not in ("pip", "setuptools")
        }

    def install(self, extra: str = "") -> Installed:
        """Install this checkout, or an extra of it, and say what that adds."""
        before = self.sizes()
        wanted, wheels = f"{self.wheel}[{extra}]" if extra else self.wheel, self.folder / f"wheels-{extra}"
        self.pip("download", "--dest", wheels, wanted)
        began = time.perf_counter()
        self.pip("install", "--no-index", "--find-links", wheels, wanted)
        seconds = time.perf_counter() - began
        added = {name: size for name, size in self.sizes().items() if name not in before}
        downloaded = sum(
            file.stat().st_size for file in wheels.iterdir() if normal(file.name.split("-")[0]) in map(normal, added)
        )
        return Installed(added, downloaded / 1e6, seconds)

    def seconds(self, *command: str) -> float:
        """How long a command of the installed package takes."""
        folder = self.folder / "home"
        folder.mkdir(exist_ok=True)
        environment = {**os.environ, "HOME": str(folder), "XDG_CACHE_HOME": str(folder), "XDG_DATA_HOME": str(folder)}
        environment.pop("PYTHONPATH", None)
        began = time.perf_counter()
        program = self.folder / "venv" / "bin" / "soundalike"
        subprocess.run([program, *command], check=True, stdout=subprocess.DEVNULL, env=environment, cwd=folder)
        return time.perf_counter() - began


def normal(name: str) -> str:
    """A distribution's name as it is compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def importers() -> dict[str, list[str]]:
    """The packages of soundalike that import each module of others, by module."""
    found: dict[str, set[str]] = defaultdict(set)
    source = ROOT / "src" / "soundalike"
    for file in source.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                found[name.split(".")[0]].add(file.relative_to(source).parts[0].removesuffix(".py"))
    return {module: sorted(packages - {"__init__"}) for module, packages in found.items()}


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """A Markdown table; `right` are the columns of numbers."""
    rule = ["--:" if column in right else "---" for column in range(len(header))]
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, rule, *rows])


def requirements(lines: Sequence[str]) -> list[str]:
    """The names of required distributions."""
    return [re.match(r"[\w.-]+", line)[0].lower() for line in lines]  # type: ignore[index]


def page(base: Installed, extras: Mapping[str, Installed], times: Mapping[str, float]) -> str:
    """The text of docs/install.md."""
    imported = importers()
    rows = []
    for name in sorted(requirements(PROJECT["dependencies"]), key=lambda name: -base.sizes[name].total):
        packages = imported[IMPORTED_AS.get(name, name)]
        where = "everywhere" if len(packages) > 8 else ", ".join(f"`{package}`" for package in packages)
        rows.append([f"{name} {base.sizes[name].version}", f"{base.sizes[name].total:.1f}", where, *PURPOSE[name]])
    others = sorted(set(base.sizes) - set(requirements(PROJECT["dependencies"])) - {"soundalike"})
    brought = [
        [
            f"`soundalike[{name}]`", EXTRAS[name], f"{added.total:.0f}", f"{added.download:.0f}",
            f"{added.seconds:.0f}",
            ", ".join(sorted(added.sizes, key=lambda each: -added.sizes[each].total)[:5])
            + (f" and {len(added.sizes) - 5} more" if len(added.sizes) > 5 else ""),
        ]
        for name, added in extras.items()
    ]  # fmt: skip
    return TEMPLATE.read_text(encoding="utf-8").format(
        total=f"{base.total:.0f}",
        bytecode=f"{sum(size.bytecode for size in base.sizes.values()):.0f}",
        download=f"{base.download:.0f}",
        count=len(base.sizes),
        own=f"{base.sizes['soundalike'].total:.1f}",
        others=", ".join(others),
        others_total=f"{sum(base.sizes[name].total for name in others):.1f}",
        dependencies=table(["dependency", "MB", "imported by", "for", "without it"], rows, right=[1]),
        extras=table(["extra", "for", "MB", "MB to download", "s", "brings"], brought, right=[2, 3, 4]),
        times=table(
            ["step", "s"],
            [["`pip install`, from downloaded wheels", f"{base.seconds:.0f}"]]
            + [[f"`soundalike {command}`", f"{seconds:.1f}"] for command, seconds in times.items()],
            right=[1],
        ),
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
    )


def main() -> None:
    """Install, add up, and print a report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extras", nargs="*", choices=list(EXTRAS), default=list(EXTRAS), help="default: all")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the page of all this, with all extras")
    parser.add_argument("--save", type=Path, metavar="DIR", help="save the report for `soundalike evaluate summary`")
    args = parser.parse_args()
    if args.page and set(args.extras) != set(EXTRAS):
        parser.error("--page needs all extras")
    with tempfile.TemporaryDirectory() as folder:
        environment = Environment(Path(folder))
        base = environment.install()
        times = {command: environment.seconds(*command.split()) for command in ("--version", "demo")}
        extras = {}
        for name in args.extras:
            extras[name] = environment.install(name)
            environment.pip("uninstall", "--yes", *extras[name].sizes)
    sizes = {name: size.total for name, size in base.sizes.items()}
    largest = sorted(sizes, key=lambda name: -sizes[name])[:12]
    rest = sum(sizes.values()) - sum(sizes[name] for name in largest)
    added = {f"the extra {name} adds": installed for name, installed in extras.items()}
    rows = {"all": sum(sizes.values()), **{name: sizes[name] for name in largest}, "the rest": rest}
    rows |= {label: installed.total for label, installed in added.items()}
    counts = [len(sizes), *[1] * len(largest), len(sizes) - len(largest)]
    report = report_of(
        "bench-install",
        "Disk space of a base install",
        "python benchmarks/install.py",
        rows=list(rows),
        columns=["MB"],
        values=[[size] for size in rows.values()],
        n=[[count] for count in [*counts, *(len(installed.sizes) for installed in added.values())]],
        notes=("n: distributions. Without pip and setuptools.",),
    )
    show_and_save(report, args.save)
    if args.page:
        args.page.write_text(page(base, extras, times), encoding="utf-8")


if __name__ == "__main__":
    main()
