"""What stops a run."""

import math
import os
import signal

import numpy as np
import pytest

from dpdrun.errors import RunError
from dpdrun.training.guard import StopSignal, require_finite


def check(loss: float, norm: float) -> None:
    starts = np.array([40, 7, 300])
    require_finite(step=9, loss=loss, grad_norm=norm, lr=0.5, starts=starts, frame=64, last_good="last good: here")


@pytest.mark.parametrize(("loss", "norm"), [(math.nan, 1.0), (1.0, math.inf), (math.inf, math.nan)])
def test_non_finite_numbers_are_refused_with_step_samples_and_advice(loss: float, norm: float) -> None:
    with pytest.raises(RunError) as caught:
        check(loss, norm)
    text = str(caught.value)
    for part in ("step 9", "3 frames of 64", "samples 7 and 364", "last good: here", "now 0.5", "after step 8"):
        assert part in text


def test_finite_numbers_pass() -> None:
    check(1e30, 1e30)


def test_sigterm_becomes_a_flag_and_the_old_handler_returns() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopSignal() as stop:
        assert not stop.received
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.received
    assert signal.getsignal(signal.SIGTERM) is before
