"""The reference for implementations elsewhere: NumPy alone, and right."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import scipy.special

from dpdrun.export import npz, numpy_reference
from dpdrun.export.verify import relative_error


def test_a_record_and_chunks_of_any_length_equal_the_model_in_float64(case: Any, tmp_path: Path) -> None:
    npz.write(tmp_path / "m.npz", case.graph, case.description, case.x)
    description, weights = numpy_reference.load(tmp_path / "m.npz")
    x = case.x.astype(np.complex64)  # as samples enter a model
    limit = 1e-5 if "position" in case.graph.state else 1e-7  # sinusoids are computed in float32
    for chunk in (7, 170, 4096):
        assert relative_error(numpy_reference.run(description, weights, x, chunk), case.expected[1]) < limit


def test_it_runs_without_dpdrun(gru: Any, tmp_path: Path) -> None:
    """A copy of the file, in a process that cannot import dpdrun or torch."""
    npz.write(tmp_path / "m.npz", gru.graph, gru.description, gru.x)
    (tmp_path / "reference.py").write_text(Path(numpy_reference.__file__).read_text())
    code = """
import sys
sys.modules["dpdrun"] = sys.modules["torch"] = sys.modules["scipy"] = None
import numpy as np, reference
description, weights = reference.load("m.npz")
golden = np.load("m.npz")
error = np.abs(reference.run(description, weights, golden["golden/x"]) - golden["golden/y"]).max()
print(error / np.abs(golden["golden/y"]).max())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1e-7


def test_functions_against_closed_forms() -> None:
    x = np.linspace(-30, 30, 61)
    np.testing.assert_allclose(numpy_reference.sigmoid(x), scipy.special.expit(x), atol=1e-15)
    np.testing.assert_allclose(numpy_reference.erf(x), scipy.special.erf(x), atol=1e-15)
    iq = np.array([[3.0, 4.0]])
    expected = [[3 * math.sqrt(2), 4 * math.sqrt(2), 5.0, 125 / math.sqrt(6)]]
    np.testing.assert_allclose(numpy_reference.features(iq, "envelope"), expected)
