"""What stops a run."""

import math
import os
import signal

import numpy as np

from dpdrun.training.guard import StopSignal, non_finite


def test_the_error_names_step_numbers_samples_checkpoint_and_what_to_try() -> None:
    line = {"step": 9, "loss": math.nan, "grad_norm": math.inf, "lr": 0.5}
    text = str(non_finite(line, np.array([40, 7, 300]), 64, "last good: here"))
    for part in ("step 9", "loss nan", "norm inf", "3 frames of 64", "samples 7 and 364", "last good: here", "now 0.5"):
        assert part in text


def test_sigterm_becomes_a_flag_and_the_old_handler_returns() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopSignal() as stop:
        assert not stop.received
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.received
    assert signal.getsignal(signal.SIGTERM) is before
