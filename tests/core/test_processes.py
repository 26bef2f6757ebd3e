import signal

from hardy.core.processes import interrupts_held_back


def _held() -> set[int]:
    return signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_an_interrupt_is_held_back_and_then_let_through():
    before = _held()
    assert signal.SIGINT not in before
    with interrupts_held_back():
        assert signal.SIGINT in _held()
    assert _held() == before
