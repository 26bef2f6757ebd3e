import os
import signal

import pytest

from hardy.engine.signals import Stopped, stop_on_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_becomes_stopped_once_and_handlers_return(number):
    before = signal.getsignal(number)

    def be_stopped() -> None:
        try:
            os.kill(os.getpid(), number)
            signal.pause()
        finally:
            os.kill(os.getpid(), signal.SIGTERM)  # ignored: the run is being ended

    with pytest.raises(Stopped) as caught, stop_on_signals():
        be_stopped()
    assert caught.value.number == number
    assert signal.getsignal(number) is before
