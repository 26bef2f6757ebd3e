"""Threads that make things ahead of their use, in order and no more than are soon needed."""

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Made = TypeVar("Made")
_PREFETCH = 2


def read_ahead(
    make: Callable[[int], Made], count: int, workers: int, least: int = 0
) -> Generator[Made, None, None]:
    """Yield what is made of each position below a count, in order.

    Pillow and numpy let other threads run while they work, so threads keep the cores as busy as
    processes would, without a start of seconds and without handing pixels over.

    Close the iterator, or use it up, to end the workers; `contextlib.closing` does so.

    Args:
        make: Makes one; several threads call it at once.
        count: Of positions.
        workers: Threads that make them ahead of their use; 0 makes each when it is asked for.
        least: Of how many at least are made ahead, where there are workers.
    """
    if workers == 0:
        yield from map(make, range(count))
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="hardy-views")
    try:
        ahead: deque[Future[Made]] = deque()
        for position in range(count):
            ahead.append(pool.submit(make, position))
            if len(ahead) > max(workers * _PREFETCH, least):
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
