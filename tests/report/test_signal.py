"""A prediction against its target on the terminal."""

from __future__ import annotations

import math

from rich.console import Console, Group

from dpdrun.report.signal import signal_lines
from dpdrun.rules.facts.signal import SignalFacts

GAINS = tuple(1.0 - 0.1 * k for k in range(10))


def shown(this: SignalFacts, width: int = 300) -> list[str]:
    console = Console(width=width, no_color=True)
    with console.capture() as capture:
        console.print(Group(*signal_lines(this)), highlight=False)
    return [line.rstrip() for line in capture.get().splitlines()]


def test_scores_and_rows() -> None:
    this = SignalFacts(
        samples=2000, nmse_db=-8.0, gain_nmse_db=-9.0, lag_samples=-0.0, lag_nmse_db=-9.1, linear_nmse_db=-20.0,
        polynomial_nmse_db=-40.0, position_db=(-30.0, *[-7.0] * 9), target_gain_db=GAINS, model_gain_db=(1e-15,) * 10,
        frame=200, pieces_nmse_db=-30.5,
    )  # fmt: skip
    _, scores, _, position, _, target, drawn, _ = shown(this)
    assert scores == (
        "NMSE -8.00 dB over 2,000 samples; -30.50 dB in frames of 200; -9.00 dB after one complex gain; "
        "-9.10 dB after also removing a delay of 0.00 samples; "
        "fitted to the same record, a linear filter reaches -20.00 dB and a memory polynomial -40.00 dB"
    )
    assert position.split()[-10:] == ["-30.0", *["-7.0"] * 9]
    assert target.split()[-10:] == [f"{gain:.2f}" for gain in GAINS]
    assert len(drawn.split()[-1]) == 10
    assert len(set(drawn.split()[-1])) == 1, "what cannot be read as a number is not drawn as a change"


def test_without_input_there_is_one_series() -> None:
    this = SignalFacts(samples=2000, nmse_db=-math.inf, position_db=(-math.inf, math.nan, *[-30.0] * 8))
    lines = shown(this)
    assert len(lines) == 4
    assert lines[1] == "NMSE -inf dB over 2,000 samples"
    assert "-inf" in lines[3]
    assert "nan" in lines[3]


def test_each_label_is_above_its_numbers() -> None:
    this = SignalFacts(
        samples=2000, nmse_db=-8.0, position_db=(-30.0, *[-7.0] * 9), target_gain_db=GAINS, model_gain_db=GAINS
    )
    lines = shown(this, width=80)
    assert len(lines) == 2 + 2 * 3
    assert max(map(len, lines)) <= 80
    assert lines[2].startswith("NMSE from start to end [dB] ")
    assert lines[3].split() == ["-30.0", *["-7.0"] * 9]
    assert lines[5].split() == [f"{gain:.2f}" for gain in GAINS]
