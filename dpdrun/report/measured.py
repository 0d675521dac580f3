"""What `dpdrun recommend --data` and `dpdrun probe` measured, on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from dpdrun.data.sizing import DataReading
from dpdrun.plan.probe_result import ProbeReading
from dpdrun.recipe.patch import render


def reading_lines(reading: DataReading) -> list[RenderableType]:
    """Describe a capture: its splits, its memory, what least squares and noise leave to a network, and its faults."""
    memory = f"at least {reading.memory}" if reading.memory_at_least else str(reading.memory)
    first = (
        f"data: {reading.name}: {reading.train_samples:,} training and {reading.val_samples:,} validation samples; "
        f"memory {memory} {'sample' if reading.memory == 1 else 'samples'} (least-squares ladder)"
    )
    if reading.floor_db is None:
        left = f"noise floor unknown: {reading.floor_caveat}"
    else:
        left_db = round(max(0.0, reading.polynomial_db - reading.floor_db), 1)
        left = f"noise floor {reading.floor_db:.1f} dB: {f'{left_db:.1f} dB' if left_db else 'nothing'} left"
    second = f"      best polynomial {reading.polynomial_db:.1f} dB on validation; {left}"
    warnings = [Text.assemble(("warning: ", "bold yellow"), warning) for warning in reading.warnings]
    return [Text(first), Text(second, "dim"), *warnings]


def probe_lines(probe: ProbeReading) -> list[RenderableType]:
    """Describe a probe: speed, the curve of the range test, the gradient norms, and what was left out."""
    step = f"{probe.step_s * 1e3:.1f} ms per step" if probe.step_s < 1 else f"{probe.step_s:.2f} s per step"
    first = (
        f"probe: {probe.seconds:.0f} s on {probe.device}: {step}, {probe.samples_per_s:,.0f} samples/s, "
        f"{probe.peak_mib:,.0f} MiB for training; an evaluation takes {probe.score_s:.2g} s"
    )
    every = max(1, len(probe.curve) // 10)
    curve = ", ".join(f"{rate:.0e} {db:.1f}" for rate, db in probe.curve[::every])
    norms = ", ".join(f"{share} % {value:.2g}" for share, value in probe.norms.items())
    lines = [Text(first), Text(f"       loss [dB] while the lr rose: {curve}", "dim")]
    if probe.norms:
        below = f"{norms} of {probe.norm_steps} are below"
        lines.append(Text(f"       gradient norms at lr {render(probe.lr)}: {below}", "dim"))
    if probe.cut:
        lines.append(Text(f"       skipped to finish in time: {'; '.join(probe.cut)}", "yellow"))
    return [*lines]


@contextmanager
def progress_bar(console: Console, label: str = "probe") -> Iterator[Callable[[float, str], None]]:
    """Show progress while the block runs: a bar on a terminal, nothing elsewhere."""
    columns = (TextColumn(label), BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=1.0)
        yield lambda share, doing: progress.update(task, completed=share, description=doing)
