"""The signal rules on signals: silent for any sound prediction, and each fault is named, at any strength above its
threshold, for any memory polynomial.

Amplifier, waveform, noise and strength are drawn; the rules see what `rf.signal_checks` measures.

The same signals every time: detectors err on some signals, and how often is for a study to say, not for a test to find.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dpdrun.diagnosis.diagnose import Diagnosis, diagnose_facts
from dpdrun.diagnosis.signal.checks import signal_facts
from dpdrun.rules.facts.run import RunFacts

Signal = NDArray[np.complex128]
SAMPLES = 6000


@dataclass(frozen=True)
class Pair:
    """Input, output of the amplifier, and the generator that drew them."""

    x: Signal
    y: Signal
    rng: np.random.Generator

    def noise(self, db: float, band: bool = False) -> Signal:
        """Complex noise at a level relative to y [dB], white or as wide as the waveform."""
        e = complex_normal(self.rng, len(self.y))
        e = low_pass(e, 0.25) if band else e
        return e * np.linalg.norm(self.y) / np.linalg.norm(e) * 10 ** (db / 20)


def complex_normal(rng: np.random.Generator, count: int) -> Signal:
    return rng.standard_normal(count) + 1j * rng.standard_normal(count)


def low_pass(x: Signal, share: float) -> Signal:
    """The part of x within +-share / 2 of the sample rate."""
    return np.fft.ifft(np.fft.fft(x) * (np.abs(np.fft.fftfreq(len(x))) < share / 2))


def draw(seed: int, *, nonlinear: float | None = None, memory: float | None = None) -> Pair:
    """A Gaussian waveform of 15 to 40 % of the sample rate through a random memory polynomial of order 5.

    Args:
        nonlinear: size of the third-order term against the linear one at rms; None = random.
        memory: size of the delayed terms against the current ones; None = random.
    """
    rng = np.random.default_rng(seed)
    x = low_pass(complex_normal(rng, SAMPLES), rng.uniform(0.15, 0.4))
    x /= np.sqrt(np.mean(np.abs(x) ** 2))
    cubic = rng.uniform(0.01, 0.12) if nonlinear is None else nonlinear
    past = rng.uniform(0.0, 0.15) if memory is None else memory
    y = np.zeros_like(x)
    for delay in range(4):
        size = 1.0 if delay == 0 else past / delay
        late = np.roll(x, delay)
        a, b = rng.standard_normal(2) * 0.3
        y += size * late * (1 - cubic * np.exp(1j * a) * np.abs(late) ** 2 + 0.05 * cubic * b * np.abs(late) ** 4)
    return Pair(x, y, rng)


def judged(pair: Pair, p: Signal, *, with_input: bool = True) -> Diagnosis:
    return diagnose_facts(RunFacts(signal=signal_facts(pair.y, p, pair.x if with_input else None)), about="signal")


def codes(this: Diagnosis) -> set[str]:
    return {finding.code for finding in this.findings}


seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=40, derandomize=True)
@given(seed=seeds, db=st.floats(-50.0, -20.0), band=st.booleans(), with_input=st.booleans())
def test_noise_alone_is_never_a_fault(seed: int, db: float, band: bool, with_input: bool) -> None:
    pair = draw(seed)
    assert codes(judged(pair, pair.y + pair.noise(db, band), with_input=with_input)) == set()


@settings(max_examples=15, derandomize=True)
@example(seed=453, share=0.25)  # far worse than a linear filter, for another reason than being one
@given(seed=seeds, share=st.floats(0.02, 0.4))
def test_an_error_that_follows_the_level_is_no_fault(seed: int, share: float) -> None:
    """An imperfect model errs where the signal is large: bursts of error, now here, now there."""
    pair = draw(seed)
    p = pair.y + share * pair.noise(-10.0, band=True) * np.abs(pair.x) ** 2
    assert codes(judged(pair, p)) == set()


@settings(max_examples=15, derandomize=True)
@given(seed=seeds, db=st.floats(-50.0, -20.0))
def test_sound_predistorter_is_never_a_fault(seed: int, db: float) -> None:
    drawn = draw(seed)
    pair = Pair(drawn.x, 3.2 * np.exp(0.4j) * drawn.x, drawn.rng)
    assert codes(judged(pair, pair.y + pair.noise(db))) == set()


@settings(max_examples=15, derandomize=True)
@given(seed=seeds, copies=st.integers(2, 12), db=st.floats(-40.0, -20.0))
def test_a_waveform_that_is_played_again_has_the_same_error_again(seed: int, copies: int, db: float) -> None:
    pair = draw(seed)
    count = SAMPLES // copies
    one = slice(0, count)
    x, y, e = (np.tile(side[one], copies) for side in (pair.x, pair.y, pair.noise(db)))
    assert codes(judged(Pair(x, y, pair.rng), y + e)) == set()


Fault = Callable[[Pair, float], Signal]


def rising(pair: Pair, strength: float) -> Signal:
    start = int(pair.rng.integers(600, SAMPLES // 2))
    behind = np.arange(SAMPLES) >= start
    return pair.y + pair.noise(-40.0) + behind * pair.noise(-40.0 + 9.0 + 20.0 * strength)


def edges(pair: Pair, strength: float) -> Signal:
    period = int(pair.rng.integers(64, 400))
    edge = int(pair.rng.integers(4, period // 8 + 4))
    at = (np.arange(SAMPLES) + int(pair.rng.integers(0, period))) % period < edge
    return pair.y + pair.noise(-40.0) + at * pair.noise(-40.0 + 16.0 + 10.0 * strength)


def late(pair: Pair, strength: float) -> Signal:
    samples = (0.2 + 5.0 * strength) * pair.rng.choice([-1, 1])
    turned = np.fft.fft(pair.y) * np.exp(-2j * np.pi * np.fft.fftfreq(SAMPLES) * samples)
    return np.fft.ifft(turned) + pair.noise(-40.0)


def swapped(pair: Pair, strength: float) -> Signal:
    return np.exp(2j * np.pi * round(4 * strength) / 4) * np.conj(pair.y) + pair.noise(-10.0 - 30.0 * strength)


def scaled(pair: Pair, strength: float) -> Signal:
    wrong = 1 + (0.06 + 0.5 * strength) * np.exp(2j * np.pi * pair.rng.uniform())
    return wrong * pair.y + pair.noise(-30.0)


def clipped(pair: Pair, strength: float) -> Signal:
    p = pair.y + pair.noise(-40.0)
    top = np.sort(np.abs(np.concatenate([p.real, p.imag])))[-round(150 + 150 * strength)]
    return np.clip(p.real, -top, top) + 1j * np.clip(p.imag, -top, top)


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("SG202", rising),
        ("SG203", edges),
        ("SG204", late),
        ("SG205", swapped),
        ("SG206", scaled),
        ("SG207", clipped),
    ],
)
@settings(max_examples=12, derandomize=True)
@given(seed=seeds, strength=st.floats(0.0, 1.0))
def test_fault_is_named_and_no_other(code: str, fault: Fault, seed: int, strength: float) -> None:
    pair = draw(seed)
    assert codes(judged(pair, fault(pair, strength))) == {code}


@settings(max_examples=12, derandomize=True)
@given(seed=seeds, nonlinear=st.floats(0.04, 0.12), db=st.floats(-60.0, -35.0))
def test_constant_gain_of_a_static_amplifier(seed: int, nonlinear: float, db: float) -> None:
    pair = draw(seed, nonlinear=nonlinear, memory=0.0)
    gain = np.vdot(pair.x, pair.y) / np.vdot(pair.x, pair.x)
    assert codes(judged(pair, gain * pair.x + pair.noise(db))) == {"SG208"}


@settings(max_examples=12, derandomize=True)
@given(seed=seeds, nonlinear=st.floats(0.02, 0.12))
def test_gain_of_a_layernorm(seed: int, nonlinear: float) -> None:
    """A network that sees I and Q over their magnitude knows the angle alone."""
    pair = draw(seed, nonlinear=nonlinear, memory=0.0)
    angle = pair.x / np.abs(pair.x)
    p = angle * np.vdot(angle, pair.y) / np.vdot(angle, angle)
    assert codes(judged(pair, p)) == {"SG208"}


@settings(max_examples=12, derandomize=True)
@given(seed=seeds, nonlinear=st.floats(0.04, 0.12))
def test_linear_model_of_a_nonlinearity_with_memory(seed: int, nonlinear: float) -> None:
    """The nonlinearity sits on the slope of the waveform, so the gain by level shows none of it."""
    pair = draw(seed, nonlinear=0.0)
    slope = np.roll(pair.x, 1) - np.roll(pair.x, -1)
    pair = Pair(pair.x, pair.y + nonlinear * slope * np.abs(slope) ** 2, pair.rng)
    A = np.stack([np.roll(pair.x, k) for k in range(-4, 8)], axis=1)
    p = A @ np.linalg.lstsq(A, pair.y, rcond=None)[0]
    assert codes(judged(pair, p + pair.noise(-50.0))) == {"SG209"}


@settings(max_examples=12, derandomize=True)
@given(seed=seeds, memory=st.floats(0.1, 0.3))
def test_model_without_memory(seed: int, memory: float) -> None:
    """The best static curve, a polynomial of the current sample, where the memory looks to both sides: no delay."""
    pair = draw(seed, nonlinear=0.06, memory=0.0)
    ringing = memory * (np.roll(pair.y, 7) - 0.5 * pair.y + np.roll(pair.y, -7))
    pair = Pair(pair.x, pair.y + ringing, pair.rng)
    A = np.stack([pair.x * np.abs(pair.x) ** power for power in range(6)], axis=1)
    p = A @ np.linalg.lstsq(A, pair.y, rcond=None)[0]
    assert codes(judged(pair, p)) == {"SG210"}


@settings(max_examples=12, derandomize=True)
@given(seed=seeds, lead=st.integers(2, 30))
def test_target_that_comes_before_its_input(seed: int, lead: int) -> None:
    """The best that a filter of the present and the past can do is to guess; a shift of that repairs nothing."""
    drawn = draw(seed)
    pair = Pair(drawn.x, np.roll(drawn.y, -lead), drawn.rng)
    A = np.stack([np.roll(pair.x, k) for k in range(16)], axis=1)
    p = A @ np.linalg.solve(A.conj().T @ A + 0.01 * SAMPLES * np.eye(16), A.conj().T @ pair.y)
    assert codes(judged(pair, p)) == {"SG212"}
    assert "SG212" not in codes(judged(pair, p, with_input=False))


@settings(max_examples=12, derandomize=True)
@given(seed=seeds, off_db=st.floats(0.3, 3.0), sign=st.sampled_from([-1, 1]), noise=st.floats(-45.0, -25.0))
def test_predistorter_of_the_wrong_gain(seed: int, off_db: float, sign: int, noise: float) -> None:
    drawn = draw(seed)
    pair = Pair(drawn.x, 3.2 * drawn.x, drawn.rng)
    p = pair.y * 10 ** (sign * off_db / 20) + pair.noise(noise)
    this = judged(pair, p)
    assert codes(this) == {"SG211"}
    assert this.findings[0].evidence["value"] == pytest.approx(sign * off_db, abs=0.02)
