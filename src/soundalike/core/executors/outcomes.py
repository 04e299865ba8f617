"""What becomes of a task: its result, an error that is reported for it, or a defect that ends the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from soundalike.core.errors import AudioError, SoundalikeError

__all__ = ["Defect", "attempt", "result_of"]


class Defect:
    """An unexpected exception of a worker as text, with its traceback, which cannot be pickled."""

    def __init__(self, error: Exception) -> None:
        import traceback

        self.text = "".join(traceback.format_exception(error))


def attempt(function: Callable[[Any], Any], task: Any) -> Any:
    """Return the result of a function of one task, the SoundalikeError that it raised, or a Defect.

    Example:
        >>> attempt(abs, -1)
        1
    """
    try:
        return function(task)
    except SoundalikeError as error:
        return error
    except MemoryError:
        return AudioError("not enough memory to decode it; close other programs or use fewer --jobs")
    except Exception as error:
        return Defect(error)


def result_of(outcome: Any, task: Any) -> Any:
    """Return what `attempt` returned, unless it is a Defect.

    Raises:
        RuntimeError: It is a Defect.

    Example:
        >>> result_of(attempt(abs, -1), -1)
        1
    """
    if isinstance(outcome, Defect):
        raise RuntimeError(f"a worker failed on {task!r}:\n{outcome.text}")
    return outcome
