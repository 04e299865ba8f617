"""What the training commands print: epochs, accuracies, learning curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from soundalike.cli.output import Progress, print_message
from soundalike.cli.table import print_matrix
from soundalike.core.errors import one_line

if TYPE_CHECKING:
    from soundalike.train.common import Epoch
    from soundalike.train.jobs import NetworkProgress

__all__ = [
    "Accuracies",
    "Curves",
    "curves",
    "model_argument",
    "network_progress",
    "print_accuracies",
    "print_epoch",
    "report_failed",
]

Curves: TypeAlias = Mapping[str, Sequence[Sequence[float]]]
"""Per network or head, one line per epoch: training loss, validation loss, validation accuracy."""
Accuracies: TypeAlias = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Accuracy, 0 to 1, per kind of negatives, space and factor."""


def print_epoch(name: str, epoch: Epoch) -> None:
    """Print how training goes, on standard error."""
    print_message(
        f"{name}, epoch {epoch.number}: loss {epoch.train_loss:.4f}, validation {epoch.validation_loss:.4f}, "
        f"accuracy {100 * epoch.validation_accuracy:.1f} %",
        "training",
    )


@contextmanager
def network_progress(unit: str, *, quiet: bool) -> Iterator[NetworkProgress]:
    """Show the steps and epochs of a training, and how many recordings (`unit`) were read; nothing if `quiet`.

    Example:
        >>> with network_progress("song", quiet=False) as progress:
        ...     report = train_instruments(job, progress)
    """
    from soundalike.train.jobs import NetworkProgress

    with Progress(unit, enabled=not quiet) as progress:

        def begin_step(name: str) -> None:
            progress.restart()
            if not quiet:
                print_message(name, "step")

        def show_epoch(network: str, epoch: Epoch) -> None:
            progress.end()
            if not quiet:
                print_epoch(network, epoch)

        try:
            yield NetworkProgress(begin_step, progress, show_epoch)
        except KeyboardInterrupt:
            progress.end()
            raise


def curves(epochs: Mapping[str, Sequence[Epoch]]) -> Curves:
    """Return learning curves."""
    return {
        name: [[one.train_loss, one.validation_loss, one.validation_accuracy] for one in line]
        for name, line in epochs.items()
    }


def print_accuracies(accuracies: Accuracies) -> None:
    """Print one table per kind of negatives."""
    for kind, matrix in accuracies.items():
        print(f"test folders, {kind} negatives: triplet accuracy in %, one row per space, one column per factor")
        print_matrix(matrix)


def model_argument(folder: Path | str) -> str:
    """Return what to give to `--model` for a model folder. A name is looked up among the installed models first.

    Example:
        >>> model_argument("band"), model_argument("compact")
        ('band', './compact')
    """
    from soundalike.models.installed import find_model

    found = find_model(str(folder)) == Path(folder)
    return one_line(folder) if found else f"./{one_line(folder)}"


def report_failed(failed: Sequence[tuple[Path, str]]) -> None:
    """Name the inputs that failed."""
    for path, error in failed:
        print_message(f"{one_line(path)}: {error}", "failed")
