from __future__ import annotations

import re
from dataclasses import asdict, replace

import numpy as np
import pytest

from dpdrun.data.capture import Capture, Part
from dpdrun.data.inspection import Inspection, inspect_capture
from dpdrun.data.sources import load_capture
from dpdrun.recipe.schema import DataSection


@pytest.fixture(scope="module")
def mild() -> Capture:
    """The preset, shortened."""
    capture = load_capture(DataSection(source="synthetic/mild"))
    return replace(
        capture,
        **{n: Part(p.x[-k:], p.y[-k:]) for (n, p), k in zip(capture.parts.items(), (12_000, 6000, 6000), strict=True)},
    )


def changed(capture: Capture, change: object, names: tuple[str, ...] = ("train", "val", "test")) -> Inspection:
    parts = {name: Part(*change(capture.parts[name].x, capture.parts[name].y)) for name in names}  # type: ignore[operator]
    return inspect_capture(replace(capture, **parts))


def test_a_clean_capture_has_facts_and_no_warnings(mild: Capture) -> None:
    facts = inspect_capture(mild)
    assert facts.warnings == ()
    assert facts.parts["train"].samples == len(mild.train)
    assert facts.parts["train"].papr_x_db == pytest.approx(10.0, abs=0.2)
    assert facts.known_floor_db == -42.0
    assert facts.floor.nmse_db == pytest.approx(-42.0, abs=0.5)
    assert facts.occupied_hz[1] - facts.occupied_hz[0] == pytest.approx(195e6, rel=0.02)
    assert abs(facts.delay_samples) < 0.1
    assert facts.aclr_y_dbc is not None
    assert asdict(facts)["parts"]["val"]["samples"] == len(mild.val)


CASES = {
    "late": (lambda x, y: (x[7:], y[:-7]), "samples .* late"),
    "early": (lambda x, y: (x[:-3], y[3:]), r"early \(non-causal\)"),
    "swapped": (lambda x, y: (x.imag + 1j * x.real, y), "I and Q are swapped"),
    "conjugated": (lambda x, y: (x, np.conj(y)), "I and Q are swapped"),
    "unrelated": (lambda x, y: (x, np.random.default_rng(0).permutation(y)), "hardly correlated"),
    "offset": (lambda x, y: (x, y + 0.003), "output has a DC offset of -[0-9.]+ dB"),
    "dc": (lambda x, y: (x + 0.05, y + 0.05), "input has DC"),
    "image": (lambda x, y: (x, y + 0.02 * np.conj(x)), r"image \(conjugate\) .* at -3[0-9.]+ dBc"),
    "railed": (lambda x, y: (x, np.clip(y.real, -0.4, 0.4) + 1j * y.imag), "of the output are at the extreme"),
}


@pytest.mark.parametrize("name", CASES)
def test_faults_of_the_signal_path(mild: Capture, name: str) -> None:
    change, message = CASES[name]
    assert any(re.search(message, warning) for warning in changed(mild, change).warnings)


def test_delay_in_samples_and_ns(mild: Capture) -> None:
    late = changed(mild, lambda x, y: (x[7:], y[:-7]))
    assert late.delay_samples == pytest.approx(7.0, abs=0.1)
    assert late.delay_ns == pytest.approx(7.0 / 0.98304, abs=0.1)


def test_parts_that_differ_are_reported(mild: Capture) -> None:
    drift = changed(mild, lambda x, y: (x, 1.05 * np.exp(0.1j) * y), ("test",))
    message = r"gain of the test split differs .* by \+0\.\d\d dB, \+[56]\.\d deg"
    assert any(re.search(message, warning) for warning in drift.warnings)
    drive = changed(mild, lambda x, y: (1.3 * x, 1.3 * y), ("test",))
    assert any(re.search(r"test input level is \+[12]\.\d\d dB", w) for w in drive.warnings)
    assert any("extrapolate" in w for w in drive.warnings)


def test_a_looping_record_is_reported(mild: Capture) -> None:
    facts = inspect_capture(replace(mild, test=Part(mild.train.x[:6000], mild.train.y[:6000])))
    assert any("100% of the test input also occurs in the training split" in w for w in facts.warnings)


def test_separately_aligned_parts_are_reported(mild: Capture) -> None:
    facts = changed(mild, lambda x, y: (x, y * np.exp(-1j * np.angle(np.vdot(x, y)))))
    assert any("splits were aligned separately" in w for w in facts.warnings)


def test_wrong_rate_and_dirty_input(mild: Capture) -> None:
    facts = inspect_capture(replace(mild, sample_rate_hz=500e6))
    assert any("is the sample rate right?" in w for w in facts.warnings)
    assert any("aliases" in w for w in facts.warnings)
    image = changed(mild, lambda x, y: (x + 0.01 * x * np.exp(2j * np.pi * 0.35 * np.arange(len(x))), y))
    assert any("rises again at 2" in w for w in image.warnings)


def test_a_bandwidth_that_cuts_the_input_is_said_and_the_leakage_measured_beyond_it(mild: Capture) -> None:
    """Of a band that is stated 3 % too narrow, the carriers' own edges would be counted as leakage."""
    cut = inspect_capture(replace(mild, bandwidth_hz=194e6))
    assert cut.aclr_x_dbc is not None
    assert max(cut.aclr_x_dbc) < -50  # not the -22 dBc of the carrier
    assert any(re.search(r"of 194 MHz cuts the input, which reaches \+-9\d", each) for each in cut.warnings)


def test_unknown_bandwidth_is_no_fault(mild: Capture) -> None:
    facts = inspect_capture(replace(mild, bandwidth_hz=None, subchannels=None))
    assert facts.aclr_y_dbc is None
    assert facts.warnings == ()


def test_warnings_of_the_loader_are_passed_on(mild: Capture) -> None:
    assert inspect_capture(replace(mild, warnings=("key 'gain' is unknown",))).warnings == ("key 'gain' is unknown",)
