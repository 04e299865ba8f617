"""`soundalike models remove`."""

from __future__ import annotations

from dataclasses import dataclass

from soundalike.cli.arguments import argument, json_option
from soundalike.cli.commands import command
from soundalike.cli.output import print_json
from soundalike.cli.suggest import suggest_removable_models
from soundalike.core.errors import one_line

__all__ = ["remove"]


@dataclass(frozen=True, slots=True)
class RemovedRecord:
    """A model that was removed, and the folder where it was."""

    model: str
    folder: str


@command("remove")
@argument("name", metavar="NAME", shell_complete=suggest_removable_models, help="The model.")
@json_option()
def remove(name: str, as_json: bool) -> int:
    """Remove an installed model and its weights. Models that are bundled with soundalike stay.

    Rows that libraries hold of the model stay there, and downloaded files stay in the cache of the Hugging Face hub.

    \b
      soundalike models remove merit
    """
    from soundalike.train import published

    folder = published.remove(name)
    if as_json:
        print_json(RemovedRecord(name, str(folder)))
    else:
        print(f"{name} removed from {one_line(folder)}")
    return 0
