"""Run evaluation protocols for a study, and remember why a run is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

import click

from soundalike.core import plugins
from soundalike.core.errors import SoundalikeError, one_line
from soundalike.core.types import Report
from soundalike.evaluate import Protocol
from soundalike.evaluate.base import Progress
from soundalike.models import find_model

__all__ = ["ProtocolRuns", "Run"]


@dataclass(frozen=True, slots=True)
class Run:
    """The reports of one protocol with one model, or the reason why there are none.

    Attributes:
        reports: The reports; none if something is missing or failed.
        missing: What is missing or what failed, and what to do about it; None if nothing.
    """

    reports: tuple[Report, ...] = ()
    missing: str | None = None

    def report(self, title: str) -> Report | None:
        """Return the first report with this text in its title."""
        return next((one for one in self.reports if title in one.title), None)


@dataclass(slots=True)
class ProtocolRuns:
    """Runs protocols with models, each pair once. A run that fails does not end the others.

    Attributes:
        seed: The seed of all runs.
        jobs: The number of processes; None is one per core.
        progress: Called after every clip.
        started: Called before every run with a description of it.
        failed: The runs that failed, as "what: why".
    """

    seed: int = 0
    jobs: int | None = None
    progress: Progress | None = None
    started: Callable[[str], None] = lambda _: None
    failed: list[str] = field(default_factory=list)
    _done: dict[tuple[str, ...], Run] = field(default_factory=dict)

    def run(self, protocol: str, model: str, data: Sequence[str], options: Sequence[str] = ()) -> Run:
        """Run a protocol with a model.

        Args:
            protocol: The name of the protocol.
            model: The name of a model.
            data: What names the data of the protocol, as on the command line.
            options: Its other options.

        Returns:
            The reports; or what is missing, if the model is not installed or the run fails.
        """
        key = (protocol, model, *data, *options)
        if key not in self._done:
            self._done[key] = self._run(protocol, model, data, options)
        return self._done[key]

    def _run(self, protocol: str, model: str, data: Sequence[str], options: Sequence[str]) -> Run:
        if missing := self.missing_model(model):
            return Run(missing=missing)
        member: Protocol = plugins.load("protocols", protocol)
        self.started(" ".join([protocol, "with", model, *options]))
        chosen = self._parse(member, [*options, *data])
        args = SimpleNamespace(**chosen, model=model, seed=self.seed, jobs=self.jobs)
        try:
            return Run(tuple(member.run(args, self.progress)))
        except SoundalikeError as error:
            problem = one_line(f"{protocol} with {model}: {error}")
            self.failed.append(problem)
            return Run(missing=f"Failed: {problem}")

    @staticmethod
    def missing_model(model: str) -> str | None:
        """Return what to do if a model is not installed; None if it is."""
        if (find_model(model) / "recipe.json").is_file():
            return None
        return f"The model {model} is not installed: soundalike models install {model}"

    @property
    def succeeded(self) -> int:
        """The number of runs with reports."""
        return sum(bool(run.reports) for run in self._done.values())

    @staticmethod
    def _parse(member: Protocol, arguments: Sequence[str]) -> Mapping[str, object]:
        """The options of a protocol with their defaults."""
        with click.Command(member.name, params=list(member.options())).make_context(
            member.name, list(arguments)
        ) as context:
            return context.params
