"""MATLAB files, read as a stranger reads them: by scipy or Octave, the page, and no code of this project."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat

from dpdrun.errors import RunError
from dpdrun.export import mat
from dpdrun.export.verify import relative_error


def test_the_file_does_what_the_model_does(case: Any, tmp_path: Path) -> None:
    mat.write(tmp_path / "m.mat", case.graph, case.description, case.x)
    error = relative_error(case.through(mat.load(tmp_path / "m.mat", case.description)), case.expected[1])
    assert error < (1e-5 if "position" in case.graph.state else 1e-7)  # sinusoids are computed in float32
    first = (tmp_path / "m.mat").read_bytes()
    mat.write(tmp_path / "m.mat", case.graph, case.description, case.x)
    assert (tmp_path / "m.mat").read_bytes() == first


def test_weights_are_those_of_the_run(case: Any, tmp_path: Path) -> None:
    mat.write(tmp_path / "m.mat", case.graph, case.description, case.x)
    content = loadmat(tmp_path / "m.mat", simplify_cells=True)
    assert content["format"] == "dpdrun-mat-1"
    said = json.loads(content["description"])
    parameters = dict(case.graph.inner.named_parameters())
    assert set(said["weights"]) - {"frequencies"} == set(parameters)
    for name, parameter in parameters.items():
        found = np.reshape(content["weights"][name.replace(".", "_")], said["weights"][name])
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, parameter.detach().numpy())
    assert mat.field("gain.-2.1") == "gain__2_1"  # a field of a struct cannot hold a sign


def comm_dpd(matrix: Any, x: Any) -> Any:
    """What the page says that MATLAB's comm.DPD computes, sample by sample."""
    C, M = np.atleast_2d(matrix["Coefficients"]), len(np.atleast_2d(matrix["Coefficients"]))
    past, y = np.concatenate([np.zeros(M - 1), x]), []
    for n in range(len(x)):
        recent = past[n : n + M][::-1]  # the newest first
        if matrix["PolynomialType"] == "Memory polynomial":
            terms = [recent * abs(recent) ** p for p in range(C.shape[1])]
            y.append(sum((C[:, p] * term).sum() for p, term in enumerate(terms)))
        else:
            degree = (C.shape[1] - 1) // M + 1
            row = np.concatenate([[1.0], *(abs(recent) ** p for p in range(1, degree))])
            y.append((C * np.outer(recent, row)).sum())
    return np.array(y)


@pytest.mark.parametrize("name", ["gmp", "gmp, no cross terms", "gmp, no memory"])
def test_a_polynomial_is_a_matrix_of_comm_dpd(name: str, cases: Any, tmp_path: Path) -> None:
    case = cases(name)
    mat.write(tmp_path / "m.mat", case.graph, case.description, case.x)
    matrix = loadmat(tmp_path / "m.mat", simplify_cells=True)["comm_dpd"]
    late = matrix["Latency"]
    assert late == case.description["lookahead"]
    y = comm_dpd(matrix, np.append(case.x[:300], np.zeros(late)))[late:]
    known = 300 - late
    assert relative_error(y[:known], case.expected[1][:known]) < 1e-5


def test_terms_that_comm_dpd_lacks_are_not_in_a_matrix(case: Any, cases: Any, tmp_path: Path) -> None:
    for name in ("gmp, DC and image", "gru"):
        other = cases(name)
        mat.write(tmp_path / "m.mat", other.graph, other.description, other.x)
        assert "comm_dpd" not in loadmat(tmp_path / "m.mat")


def test_a_kind_without_a_reference_is_refused(gru: Any, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"mat has no reference for model.kind lstm"):
        mat.write(tmp_path / "m.mat", gru.graph, gru.description | {"kind": "lstm"}, gru.x)


OCTAVE = """
load('m.mat');
C = comm_dpd.Coefficients; M = rows(C); late = double(comm_dpd.Latency);
degree = (columns(C) - 1) / M + 1;
x = [zeros(M - 1, 1); double(golden.x); zeros(late, 1)];
y = zeros(numel(x) - M + 1, 1);
for n = 1:numel(y)
  recent = x(n + M - 1:-1:n);
  row = [1, reshape(abs(recent) .^ (1:degree - 1), 1, [])];
  y(n) = sum(sum(C .* (recent * row)));
end
y = y(late + 1:end - late); g = golden.y(1:numel(y));
printf('%.3g', norm(y - g) / norm(g));
"""


@pytest.mark.slow
def test_octave_reads_it(cases: Any, tmp_path: Path) -> None:
    if shutil.which("octave") is None:
        pytest.skip("needs octave")
    case = cases("gmp")
    mat.write(tmp_path / "m.mat", case.graph, case.description, case.x)
    (tmp_path / "run.m").write_text(OCTAVE)
    done = subprocess.run(
        ["octave", "--no-gui", "-q", "run.m"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1e-6
