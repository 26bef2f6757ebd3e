"""What batches leave on the device is read with each one's own numbers; waits are without work."""

import torch

from hardy.engine import pending
from hardy.engine.pending import Done, read, timed


def test_each_batch_gets_the_numbers_that_it_left():
    first = Done(
        {"loss": torch.tensor(1.5), "count": torch.tensor(2)}, 3, 0.1, 0.0, torch.tensor(5.0)
    )
    second = Done({}, 4, 0.1, 0.0, None)
    third = Done(
        {"loss": torch.tensor(4.0, dtype=torch.bfloat16)}, 1, 0.1, 0.0, torch.tensor(6.0).double()
    )
    found = list(read([first, second, third]))
    assert [each[:2] for each in found] == [
        ({"loss": 1.5, "count": 2.0}, 5.0),
        ({}, None),
        ({"loss": 4.0}, 6.0),
    ]
    assert all(each[2] is done for each, done in zip(found, (first, second, third), strict=True))
    assert [each[:2] for each in read([second])] == [({}, None)]
    assert list(read([])) == []


def test_a_wait_is_what_the_next_batch_took_and_not_what_was_done_with_the_last(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(pending, "perf_counter", lambda: now[0])

    def batches():
        for seconds in (2.0, 3.0, 0.5):
            now[0] += seconds
            yield seconds

    waited = []
    for batch, seconds in timed(batches()):
        now[0] += 10  # the step
        waited.append((batch, seconds))
    assert waited == [(2.0, 2.0), (3.0, 3.0), (0.5, 0.5)]
