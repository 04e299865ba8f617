"""Tasks of worker processes run in the process of the tests, unless a test asks for two processes or more.

A process takes half a second to start, and most tests have a few short clips. Tasks and results are pickled all the
same, and what a fresh process would load is loaded again. Commands that tests start as processes have the real pool.
"""

from __future__ import annotations

import pickle
import sys
import traceback
from collections.abc import Callable, Generator, Iterable
from typing import Any

from soundalike.core.errors import SoundalikeError
from soundalike.core.executors import processes

_run_in_processes = processes.run_tasks


def run_tasks(
    function: Callable[[Any], Any],
    tasks: Iterable[Any],
    jobs: int | None = None,
    heartbeat: Callable[[Any, float], None] | None = None,
) -> Generator[tuple[Any, Any], None, None]:
    """Stand in for the function of the package."""
    if jobs is not None and jobs > 1:
        yield from _run_in_processes(function, tasks, jobs, heartbeat)
        return
    module = getattr(function, "func", function).__module__  # a partial is of functools
    for name in (module, "soundalike.models.model"):
        for member in list(vars(sys.modules[name]).values()) if name in sys.modules else ():
            if hasattr(member, "cache_clear"):
                member.cache_clear()
    for task in tasks:
        try:
            result = function(pickle.loads(pickle.dumps(task)))
        except SoundalikeError as error:
            result = error
        except Exception as error:
            raise RuntimeError(f"a worker failed on {task!r}:\n{''.join(traceback.format_exception(error))}") from error
        yield task, pickle.loads(pickle.dumps(result))


processes.run_tasks = run_tasks
