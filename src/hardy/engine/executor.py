"""Samples spread over processes, their records back in order.

Each process builds the bench for itself and takes every n-th sample. A method is episodic and its
random numbers belong to the sample, so a record is the same whichever process makes it.
"""

import multiprocessing
import queue
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.process import BaseProcess
from typing import Any

from hardy.core.errors import MethodError
from hardy.core.processes import ignore_interrupts, interrupts_held_back

Entry = dict[str, Any]
Work = Callable[[Sequence[int]], Iterator[Entry]]
_POLL_SECONDS = 1.0


def sharded(work: Work, indices: Sequence[int], processes: int) -> Iterator[Entry]:
    """Yield `work`'s entries for the indices in order, made by several processes.

    Args:
        work: Makes the entries of some indices, in their order; a picklable callable.
        indices: What to make entries for.
        processes: How many processes to start; each gets every n-th index.

    Raises:
        MethodError: If a process died, such as for want of memory.
        Exception: Whatever `work` raised in a process.
    """
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    with interrupts_held_back():
        workers: list[BaseProcess] = [
            context.Process(
                target=_work, args=(work, list(indices[k::processes]), results), daemon=True
            )
            for k in range(min(processes, len(indices)))
        ]
        for worker in workers:
            worker.start()
    try:
        yield from _in_order(indices, results, workers)
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join()
        results.close()


def _in_order(
    indices: Sequence[int],
    results: Any,  # noqa: ANN401
    workers: Sequence[BaseProcess],
) -> Iterator[Entry]:
    early: dict[int, Entry] = {}
    for index in indices:
        while index not in early:
            arrived, entry = _next(results, workers)
            if isinstance(entry, BaseException):
                raise entry
            early[arrived] = entry
        yield early.pop(index)


def _next(results: Any, workers: Sequence[BaseProcess]) -> tuple[int, Any]:  # noqa: ANN401
    """Wait for the next entry, and notice if nobody is left to make it."""
    while True:
        # Asked before the wait: what a process sent before it ended is then still found.
        dead = [worker for worker in workers if worker.exitcode not in (None, 0)]
        try:
            found: tuple[int, Any] = results.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            if dead:
                message = f"a process died with status {dead[0].exitcode}"
                hint = "Set compute.processes to 1, which takes less memory."
                raise MethodError(message, hint=hint) from None
        else:
            return found


def _work(work: Work, indices: Sequence[int], results: Any) -> None:  # noqa: ANN401
    """Run in a process of its own: send entries, or the error that ended them."""
    ignore_interrupts()
    parent = multiprocessing.parent_process()
    try:
        for index, entry in zip(indices, work(indices), strict=True):
            if parent is not None and not parent.is_alive():
                return
            results.put((index, entry))
    except Exception as error:
        results.put((-1, error))
