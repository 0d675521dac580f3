"""What stops a run: numbers that are not finite, memory that runs out, and signals."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

from dpdrun.distributed.launcher import is_silenced
from dpdrun.distributed.signal_handlers import STOPS, answering, handling, name_of, state
from dpdrun.errors import DivergedError, RunError, StoppedError, out_of_memory
from dpdrun.plan.plan import Plan
from dpdrun.run.folder import RunFolder
from dpdrun.training.ddp import StepStats

if TYPE_CHECKING:
    from dpdrun.distributed.signal_handlers import Handler

SIZES = ("d_model", "hidden", "layers", "order", "delays")  # fields of a model that decide its memory
INTERRUPT_NOTE = b"interrupted: writing a checkpoint after this step; press Ctrl-C again to exit immediately"


def non_finite(line: Mapping[str, Any], stats: StepStats, frame: int, run: RunFolder) -> DivergedError:
    """Return the error for a step whose loss or gradient is not finite, to be raised before the parameters change.

    Clipping is no remedy: scaling by clip / inf gives NaN in every parameter (pytorch issue 46849).

    Args:
        line: the metrics line of the step.
        stats: of the step, over all processes.
        frame: length of a frame [samples].
        run: where the parameters of an earlier step may be kept.
    """
    culprit, starts, whose = stats.culprit, stats.starts, ""
    good = [path for path in (run.last, run.best) if path.is_file()]
    last_good = f"last good: {good[0]}" if good else "no checkpoint was written yet"
    if len(stats.losses) > 1 and culprit is not None:
        starts, whose = stats.shares[culprit], f" of process {culprit} of {len(stats.losses)}"
    first, last = int(starts.min()), int(starts.max()) + frame
    remedies = f"a lower optim.lr (now {line['lr']:g}), a longer optim.warmup, train.precision fp32"
    if line["step"] == 1:  # no weight has changed yet, so neither learning rate nor warmup has had an effect
        remedies = "smaller initial weights or outputs of the model, another train.loss, train.precision fp32"
    return DivergedError(
        f"step {line['step']}: loss {line['loss']:g}, gradient norm {line['grad_norm']:g}; stopped before the step\n"
        f"  batch{whose}: {len(starts)} frames of {frame} samples between training samples {first} and {last}\n"
        f"  first samples of its frames: {_shortened(starts.tolist())}\n"
        f"  {last_good}\n"
        f"  try: {remedies}; `dpdrun data inspect` shows outliers in the capture"
    )


def _shortened(values: list[int], shown: int = 8) -> str:
    more = f" and {len(values) - shown} more" if len(values) > shown else ""
    return ", ".join(map(str, values[:shown])) + more


@contextmanager
def memory_explained(plan: Plan) -> Iterator[None]:
    """Turn running out of memory, of the GPU or the machine, into a RunError that says what to lower."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        reason = out_of_memory(error)
        if reason is None:
            raise
        raise RunError(_memory_message(plan, reason)) from error


def _memory_message(plan: Plan, reason: str) -> str:
    model, train = plan.recipe.model, plan.recipe.train
    sizes = {name: getattr(model, name) for name in SIZES if hasattr(model, name)}
    named = ", ".join(f"model.{name} {value}" for name, value in sizes.items())
    reason = f"out of memory: {reason}"
    if not plan.total_steps:
        return f"{reason}\n  {named}\n  lower {' or '.join(f'model.{name}' for name in sizes)}"
    largest = next(iter(sizes))
    return (
        f"{reason}\n"
        f"  batch of {plan.batch_size:,} frames of {plan.frame:,} samples in {train.accumulate} passes, {named}\n"
        f"  lower train.batch_size, or raise train.accumulate (the same batch in more passes); then lower train.frame "
        f"or model.{largest}"
    )


class StopSignal:
    """Turns a signal into a flag that the loop reads between steps, so that a checkpoint is written first.

    SIGTERM and SIGHUP stop a run, Ctrl-C interrupts it. Python runs signal handlers between bytecodes, also inside an
    optimizer step; raising there could leave half an update behind. A second Ctrl-C raises KeyboardInterrupt at once
    all the same: the user is waiting. A signal that no step has read when the block ends goes to the handler that was
    installed before. Outside the main thread, where Python allows no handlers, it does nothing.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._held = ExitStack()

    def __enter__(self) -> StopSignal:
        if state.depth and state.answered:  # raised before, but swallowed by a callback: the next step reads it
            self.received, state.answered = signal.Signals(state.answered), 0
        ours: dict[signal.Signals, Handler] = {**dict.fromkeys(STOPS, self._terminate), signal.SIGINT: self._interrupt}
        self._held.enter_context(handling(ours))
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        self._held.close()
        if self.received is not None and kind is None:
            signal.raise_signal(self.received)

    @property
    def number(self) -> int:
        """The number of the signal that was received, or 0."""
        return int(self.received or 0)

    def stopped(self, number: int, done: str, hint: str) -> BaseException:
        """Return what to raise when the checkpoint is written: StoppedError, or KeyboardInterrupt after Ctrl-C.

        Args:
            number: of the signal, which another process may have been sent.
            done: how far training came, as "after step 3 of 8".
            hint: how to continue.
        """
        state.answered = number
        if number == signal.SIGINT:
            return KeyboardInterrupt(f"interrupted {done}; a checkpoint was written, {hint}")
        return StoppedError(f"stopped by {name_of(number)} {done}; {hint}")

    def _terminate(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature is fixed
        self.received = self.received or signal.Signals(number)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self.received == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = signal.SIGINT
        if is_silenced():
            return
        with suppress(OSError):  # not print: its buffer may be in use by the very code that the signal came upon
            # a live view is redrawn from the line of the cursor upwards: a line more would leave its upper ones behind
            before, after = (b"\r", b"\x1b[K") if os.isatty(1) else (b"\n", b"\n")
            os.write(2, before + INTERRUPT_NOTE + after)


@contextmanager
def stopping(reason: Callable[[], str]) -> Iterator[None]:
    """Make a signal raise at once, for work that a later start can simply do again.

    SIGTERM and SIGHUP raise StoppedError with `reason()`, Ctrl-C KeyboardInterrupt. A second one of the former is
    ignored. An exception that came upon a callback is printed by Python and lost: it is raised again at the end.
    """

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if not state.answered:
            state.answered = number
            raise StoppedError(f"stopped by {name_of(number)} {reason()}")

    def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        state.answered = state.answered or number
        raise KeyboardInterrupt

    with answering(), handling({**dict.fromkeys(STOPS, stop), signal.SIGINT: interrupt}):
        yield
        if state.answered == signal.SIGINT:
            raise KeyboardInterrupt
        if state.answered:
            raise StoppedError(f"stopped by {name_of(state.answered)} {reason()}")
