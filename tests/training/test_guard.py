"""What stops a run."""

import math
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dpdrun.errors import RunError, StoppedError
from dpdrun.plan.plan import Plan
from dpdrun.run.folder import RunFolder
from dpdrun.training.ddp import StepStats
from dpdrun.training.guard import INTERRUPT_NOTE, StopSignal, memory_explained, non_finite, stopping

LINE = {"step": 9, "loss": math.nan, "grad_norm": math.inf, "lr": 0.5}


def told(losses: list[float], shares: list[list[int]]) -> StepStats:
    starts = np.array(shares)
    return StepStats(float(np.mean(losses)), np.array(losses), starts.reshape(-1), starts, 0, {})


def test_the_error_names_step_numbers_samples_checkpoint_and_what_to_try(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path)
    assert "no checkpoint was written yet" in str(non_finite(LINE, told([math.nan], [[40, 7, 300]]), 64, run))
    run.best.touch()
    text = str(non_finite(LINE, told([math.nan], [[40, 7, 300]]), 64, run))
    for part in (
        "step 9", "loss nan", "norm inf", "batch: 3 frames of 64", "samples 7 and 364", "frames: 40, 7, 300",
        f"last good: {run.best}", "now 0.5",
    ):  # fmt: skip
        assert part in text


def test_at_the_first_step_the_learning_rate_is_not_blamed(tmp_path: Path) -> None:
    text = str(non_finite({**LINE, "step": 1}, told([math.inf], [[40]]), 64, RunFolder(tmp_path)))
    assert "optim.lr" not in text
    assert "warmup" not in text
    assert "try: smaller initial weights" in text


def test_the_error_names_the_process_whose_loss_it_was_and_its_frames_alone(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    text = str(non_finite(LINE, told([1.0, math.inf], [[40, 300], [7, 90]]), 64, run))
    assert "batch of process 1 of 2: 2 frames of 64 samples between training samples 7 and 154" in text
    assert "first samples of its frames: 7, 90\n" in text
    both = str(non_finite(LINE, told([1.0, 2.0], [[40, 300], [7, 90]]), 64, run))  # only the gradient overflowed
    assert "batch: 4 frames" in both
    many = str(non_finite(LINE, told([math.nan], [list(range(12))]), 64, run))
    assert "frames: 0, 1, 2, 3, 4, 5, 6, 7 and 4 more\n" in many


@pytest.mark.parametrize(("terminal", "around"), [(True, ("\r", "\x1b[K")), (False, ("\n", "\n"))])
def test_the_note_of_ctrl_c_adds_no_line_below_a_live_view(
    terminal: bool, around: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "isatty", lambda file: terminal and file == 1)
    with StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        stop.received = None
    before, after = around
    assert capfd.readouterr().err == f"{before}{INTERRUPT_NOTE.decode()}{after}"


def test_sigterm_becomes_a_flag_and_the_old_handler_returns() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopSignal() as stop:
        assert not stop.received
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.received
        stop.received = None  # else it is passed on
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_first_ctrl_c_is_a_flag_and_the_second_leaves_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), StopSignal() as stop:  # noqa: PT012
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.received == signal.SIGINT
        assert "press Ctrl-C again to exit immediately" in capfd.readouterr().err
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("the second was not heard")
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, StoppedError)])
def test_what_is_raised_after_the_checkpoint(number: signal.Signals, kind: type[BaseException]) -> None:
    with StopSignal() as stop:
        os.kill(os.getpid(), number)
        error = stop.stopped(stop.number, "after step 3 of 8", "continue with: this")
        stop.received = None  # else it is passed on
    assert type(error) is kind
    assert "after step 3 of 8" in str(error)
    assert str(error).endswith("continue with: this")


def test_a_signal_that_no_step_has_read_goes_to_whoever_listened_before() -> None:
    with pytest.raises(StoppedError, match="by SIGTERM outside"), stopping(lambda: "outside"):  # noqa: PT012
        with StopSignal() as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.number == signal.SIGTERM
        raise AssertionError("not passed on")
    with pytest.raises(ZeroDivisionError), stopping(lambda: "outside"), StopSignal():  # noqa: PT012 - it ended otherwise
        os.kill(os.getpid(), signal.SIGTERM)
        raise ZeroDivisionError


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    """As under nohup, or of a background job, which must not hear the Ctrl-C for the one in the foreground."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopSignal() as stop:
            os.kill(os.getpid(), signal.SIGINT)
        assert stop.received is None
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_may_train() -> None:
    ended = []

    def work() -> None:
        with StopSignal() as stop, stopping(lambda: ""):
            ended.append(stop.received)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == [None]


def test_outside_the_loop_sigterm_raises_where_it_comes() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(StoppedError, match="SIGTERM before") as caught, stopping(lambda: "before"):  # noqa: PT012
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("not heard")
    assert caught.value.exit_code == 75
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:114] err == 0. DefaultCPUAllocator: can't allocate memory: 9 bytes"
        ),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError(),
    ],
    ids=["cpu", "cuda", "numpy"],
)
def test_out_of_memory_names_what_to_lower(error: Exception, plan: Callable[..., Plan]) -> None:
    with pytest.raises(RunError) as caught, memory_explained(plan()):
        raise error
    for part in ("out of memory", "batch of 4 frames of 32", "model.d_model 8", "lower train.batch_size", "accumulate"):
        assert part in str(caught.value)


def test_other_errors_are_left_as_they_are(plan: Callable[..., Plan]) -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory_explained(plan()):
        raise RuntimeError("shapes do not match")
