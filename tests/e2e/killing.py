"""`hardy`, killed by SIGKILL the Nth time that it comes to a place: a process of a test's.

python tests/e2e/killing.py PLACE N run SPEC ...
"""

import importlib
import os
import signal
import sys
from pathlib import Path

# Where it dies: a module, what to look up there, and whether before that is done or after it.
PLACES = {
    "batch": ("hardy.engine.trained", "Trained.gradients", "after"),
    "step": ("hardy.engine.trained", "Trained.step", "after"),
    "validation": ("hardy.engine.train", "validated", "before"),
    "metrics": ("hardy.engine.checkpoint", "Checkpoint.save", "before"),
    "best": ("hardy.engine.checkpoint", "Checkpoint.save_best", "after"),
    "state": ("hardy.engine.checkpoint", "Checkpoint.save", "after"),
    "copy": ("hardy.engine.train", "_Loop._store", "after"),
    "fitted": ("hardy.engine.fit", "write_fitted", "before"),
    "manifest": ("hardy.engine.fit", "write_fitted", "after"),
    "answer": ("hardy.engine.journal", "Journal.append", "after"),
    "end": ("hardy.tracking.mlflow_run", "MlflowRun.end", "before"),
}
"""`draft` is one more: a checkpoint's file, half written."""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(place: str, count: int) -> None:
    module, path, when = PLACES[place]
    owner = importlib.import_module(module)
    *steps, name = path.split(".")
    for step in steps:
        owner = getattr(owner, step)
    plain, left = getattr(owner, name), [count]

    def dying(*args: object, **kwargs: object) -> object:
        left[0] -= 1
        if left[0] == 0 and when == "before":
            die()
        found = plain(*args, **kwargs)
        if left[0] == 0:
            die()
        return found

    setattr(owner, name, dying)


def die_at_a_draft(count: int) -> None:
    plain, left = os.fsync, [count]

    def dying(file: int) -> None:
        written = Path(f"/proc/self/fd/{file}").resolve()
        if written.parent.name == "checkpoints":
            left[0] -= 1
            if left[0] == 0:
                os.ftruncate(file, written.stat().st_size // 2)
                die()
        plain(file)

    os.fsync = dying


if __name__ == "__main__":
    place, count, *arguments = sys.argv[1:]
    train = importlib.import_module("hardy.engine.train")
    train._KEEPING, train._WITHIN_SECONDS, train._NEWS_SECONDS = float("inf"), 0.0, 0.0
    if place == "draft":
        die_at_a_draft(int(count))
    else:
        die_at(place, int(count))
    sys.exit(importlib.import_module("hardy.cli.main").run(arguments))
