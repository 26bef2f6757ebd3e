import os
import signal
import time

import pytest

from hardy.core.errors import DataError, MethodError
from hardy.engine.executor import sharded


def squares(indices):
    for index in indices:
        yield {"index": index, "square": index**2, "process": os.getpid()}


def uneven(indices):
    for index in indices:
        time.sleep(0.05 if index % 3 == 0 else 0)
        yield {"index": index}


def faulty(indices):
    for index in indices:
        if index == 3:
            message = "sample 3 is broken"
            raise DataError(message, hint="mend it")
        yield {"index": index}


def dying(indices):
    for index in indices:
        if index == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        yield {"index": index}


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_entries_come_in_order_whatever_the_processes(processes):
    made = list(sharded(squares, range(5, 14), processes))
    assert [(m["index"], m["square"]) for m in made] == [(i, i * i) for i in range(5, 14)]
    assert len({m["process"] for m in made}) == processes
    assert os.getpid() not in {m["process"] for m in made}


def test_a_slow_process_does_not_change_the_order():
    assert [m["index"] for m in sharded(uneven, range(9), 3)] == list(range(9))


def test_an_error_in_a_process_arrives_whole():
    with pytest.raises(DataError, match="sample 3 is broken") as caught:
        list(sharded(faulty, range(8), 2))
    assert caught.value.hint == "mend it"


def test_a_dead_process_is_an_error_not_a_wait():
    with pytest.raises(MethodError, match="died with status -9"):
        list(sharded(dying, range(8), 2))


def test_stopping_early_leaves_no_process():
    entries = sharded(squares, range(1000), 2)
    process = next(entries)["process"]
    entries.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
