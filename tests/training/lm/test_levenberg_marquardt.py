"""Levenberg-Marquardt against the same algorithm written out in NumPy, with derivatives of whole records in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call

from dpdrun.models.gru import Model as GruModel
from dpdrun.models.transformer import Config, Model
from dpdrun.recipe.schema import GRUModel
from dpdrun.training.lm import levenberg_marquardt
from dpdrun.training.lm.levenberg_marquardt import LevenbergMarquardt
from dpdrun.training.loss import Weighting

TINY: dict[str, Any] = {
    "kind": "transformer", "d_model": 4, "layers": 1, "heads": 2, "window": 5, "ff_mult": 0.5, "conv": 2,
    "activation": "bilinear", "norm": "off", "attention_bias": "query",
    "residual_init": "xavier",
}  # fmt: skip
SCALE = 0.7
Rows = NDArray[np.float64]


def model_of(dtype: torch.dtype = torch.float64, **changes: Any) -> Model:
    """A tiny model off its starting point, where many derivatives are zero."""
    torch.manual_seed(0)
    model = Model(Config(**TINY | changes), scale_x=0.5, scale_y=SCALE)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.to(dtype).eval()


def pair_of(records: int = 1, samples: int = 200, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Coloured noise and a compressing amplifier with a memory of one sample, (L, T, 2) each."""
    rng = np.random.default_rng(3)
    white = rng.normal(size=(records, samples + 4)) + 1j * rng.normal(size=(records, samples + 4))
    x = 0.2 * sum(white[:, shift : shift + samples] for shift in range(5))
    late = np.roll(x, 1, axis=1)
    y = 1.2 * x * (1 - 0.3 * np.abs(x) ** 2) + 0.2j * late
    return tuple(torch.from_numpy(np.stack([z.real, z.imag], -1)).to(dtype) for z in (x, y))  # type: ignore[return-value]


class Reference:
    """Errors and their derivatives of the judged samples of whole records, by forward mode, in float64."""

    def __init__(self, model: Model, x: Tensor, target: Tensor) -> None:
        assert model.context is not None
        assert model.lookahead is not None
        self.model, self.x, self.target = model, x, target
        self.named = {name: each.detach() for name, each in model.named_parameters()}
        self.inside = slice(model.context, x.shape[1] - model.lookahead)

    @property
    def theta(self) -> Rows:
        return np.concatenate([each.numpy().ravel() for each in self.named.values()])

    def _errors(self, theta: Tensor) -> Tensor:
        parts = torch.split(theta, [each.numel() for each in self.named.values()])
        shaped = {name: part.view(each.shape) for part, (name, each) in zip(parts, self.named.items(), strict=True)}
        y = functional_call(self.model, shaped, (self.x,))
        return ((y - self.target) / SCALE)[:, self.inside]  # (L, judged, 2)

    def errors(self, theta: Rows) -> Rows:
        return np.asarray(self._errors(torch.from_numpy(theta)).numpy())

    def loss(self, theta: Rows) -> float:
        return float((self.errors(theta) ** 2).sum(-1).mean())

    def derivatives(self, theta: Rows) -> Rows:
        """(L, judged, 2, P)."""
        return np.asarray(torch.func.jacfwd(self._errors)(torch.from_numpy(theta)).numpy())

    def slope(self, theta: Rows) -> Rows:
        rows = self.derivatives(theta).reshape(-1, len(theta))
        return np.asarray(2 * rows.T @ self.errors(theta).ravel() / len(rows))  # 2 rows a sample

    def curvature(self, theta: Rows, first: int = 0, stride: int = 1) -> Rows:
        rows = self.derivatives(theta)[:, first::stride].reshape(-1, len(theta))
        return np.asarray(2 * rows.T @ rows / len(rows))

    def step(self, theta: Rows, A: Rows, g: Rows, damping: float) -> tuple[Rows, float]:
        """The first damped Gauss-Newton step that lowers the loss, and its damping."""
        for _ in range(12):
            found = theta + scipy.linalg.solve(A + damping * np.diag(np.diag(A)), -g, assume_a="pos")
            if self.loss(found) < self.loss(theta):
                return found, damping
            damping *= 3
        raise AssertionError("no step lowers the loss")


def vector(solver: LevenbergMarquardt) -> Rows:
    return np.asarray(solver.theta.double().numpy())


SETTINGS: dict[str, dict[str, Any]] = {
    "bilinear, no norm": {},
    "as the rules have it": {"activation": "gelu", "norm": "layer", "attention_bias": "all", "conv": 4},
    "look-ahead": {"lookahead": 3},
    "two layers": {"layers": 2, "positions": "none"},
}


@pytest.mark.parametrize("changes", SETTINGS.values(), ids=SETTINGS)
def test_gradient_and_curvature_are_those_of_the_complete_record(changes: dict[str, Any]) -> None:
    model, (x, target) = model_of(**changes), pair_of()
    reference = Reference(model, x, target)
    before, start = reference.loss(reference.theta), reference.theta
    solver = LevenbergMarquardt(model, x, target, SCALE)
    assert solver.stride == 1
    loss, slope = solver._loss_and_slope()
    assert loss == pytest.approx(before, rel=1e-12)
    np.testing.assert_allclose(slope.numpy(), reference.slope(start), rtol=1e-8, atol=1e-12)
    solver._update_curvature()
    assert solver.curvature is not None
    expected = reference.curvature(start)
    np.testing.assert_allclose(solver.curvature.numpy(), expected, rtol=1e-8, atol=1e-11 * expected.max())


@pytest.mark.parametrize(("records", "samples"), [(1, 200), (4, 60)])
def test_a_step_is_the_damped_gauss_newton_step(records: int, samples: int) -> None:
    model, (x, target) = model_of(), pair_of(records, samples)
    reference = Reference(model, x, target)
    start = reference.theta
    A, g = reference.curvature(start), reference.slope(start)
    solver = LevenbergMarquardt(model, x, target, SCALE)
    this = solver.iterate()
    assert this.moved
    expected, damping = reference.step(start, A, g, levenberg_marquardt.DAMPING)
    assert damping == levenberg_marquardt.DAMPING, "the first one that was tried"
    np.testing.assert_allclose(vector(solver), expected, rtol=1e-6, atol=1e-9)
    assert this.before == pytest.approx(reference.loss(start), rel=1e-12)
    assert this.after == pytest.approx(reference.loss(vector(solver)), rel=1e-12)
    promised = -(2 * g @ (expected - start) + (expected - start) @ A @ (expected - start))
    assert this.ratio == pytest.approx((this.before - this.after) / promised, rel=1e-5)
    held = torch.cat([each.detach().flatten() for each in model.parameters()])
    assert torch.equal(held, solver.theta), "the model holds what was found"


def test_a_complete_descent_equals_the_algorithm_in_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Subsampled curvature, its average over iterations, and the damping, over eight iterations."""
    monkeypatch.setattr(levenberg_marquardt, "ROWS_PER_PARAMETER", 1)
    monkeypatch.setattr(levenberg_marquardt, "REMEMBERED", 0.6)
    model, (x, target) = model_of(), pair_of(samples=300)
    reference = Reference(model, x, target)
    theta, damping, A = reference.theta, levenberg_marquardt.DAMPING, None
    solver = LevenbergMarquardt(model, x, target, SCALE)
    assert solver.stride > 2
    ratios: list[float] = []
    for count in range(8):
        fresh = reference.curvature(theta, count % solver.stride, solver.stride)
        share = min(0.6, count / (count + 1))
        A = fresh if A is None else share * A + (1 - share) * fresh
        g, before = reference.slope(theta), reference.loss(theta)
        this = solver.iterate()
        found, damping = reference.step(theta, A, g, damping)
        step, after = found - theta, reference.loss(found)
        ratio = (before - after) / -(2 * g @ step + step @ A @ step)
        damping = min(10.0, damping * (1 / 3 if ratio > 0.7 else 2 if ratio < 0.25 else 1))
        theta, ratios = found, [*ratios, ratio]
        assert solver.count == count + 1
        assert (this.damping, this.after) == (pytest.approx(damping), pytest.approx(after, rel=1e-6))
        np.testing.assert_allclose(vector(solver), theta, rtol=1e-5, atol=1e-7)
    assert min(ratios) < 0.25, "damping that rose"
    assert max(ratios) > 0.7, "and that fell"


def test_the_loss_only_falls_and_comes_to_an_end_that_least_squares_knows() -> None:
    """In float32, as it is used; a linear target, which the model can hit exactly."""
    model, (x, _) = model_of(torch.float32), pair_of(dtype=torch.float32)
    target = 1.5 * x
    solver = LevenbergMarquardt(model, x, target, SCALE)
    steps = [solver.iterate() for _ in range(40)]
    assert all(this.after < this.before if this.moved else this.after == this.before for this in steps)
    losses = [steps[0].before, *(this.after for this in steps)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 1e-5 < 1e-2 < losses[0]


def test_without_a_lower_loss_nothing_moves() -> None:
    model, (x, _) = model_of(), pair_of()
    with torch.no_grad():
        target = model(x)  # no error left
    solver = LevenbergMarquardt(model, x, target, SCALE)
    before = solver.theta.clone()
    this = solver.iterate()
    assert not this.moved
    assert (this.before, this.after, this.ratio) == (0.0, 0.0, 0.0)
    assert this.damping == solver.damping == levenberg_marquardt.LARGEST
    assert torch.equal(solver.theta, before)


@pytest.mark.parametrize("changes", [{}, {"lookahead": 3}], ids=["causal", "look-ahead"])
@pytest.mark.parametrize("piece", [1, 37, 64])
def test_a_long_record_in_pieces_is_the_record_in_one(
    changes: dict[str, Any], piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, target = pair_of(2, 150)
    whole = LevenbergMarquardt(model_of(**changes), x, target, SCALE)
    monkeypatch.setattr(levenberg_marquardt, "CHUNK", piece)
    cut = LevenbergMarquardt(model_of(**changes), x, target, SCALE)
    assert len(cut._chunks()) > 1
    first, second = whole._loss_and_slope(), cut._loss_and_slope()
    assert second[0] == pytest.approx(first[0], rel=1e-12)
    torch.testing.assert_close(second[1], first[1])
    assert cut.iterate().after == pytest.approx(whole.iterate().after, rel=1e-9)


WEIGHTING = Weighting(in_band=1.0, out_of_band=4.0, beyond=0.1, band=0.2, reach=0.3)


def weighted_reference(reference: Reference, theta: Rows) -> tuple[float, Rows]:
    """Weighted loss of whole records and half its gradient, from the spectra of errors and derivatives in NumPy."""

    def spectra(values: Rows) -> NDArray[np.complex128]:  # (L, judged, 2, ...) -> (L, judged, ...)
        found = np.fft.fft(values[:, :, 0] + 1j * values[:, :, 1], axis=1)
        return np.asarray(found / np.sqrt(values.shape[1]))

    errors, rows = spectra(reference.errors(theta)), spectra(reference.derivatives(theta))
    f = np.abs(np.fft.fftfreq(errors.shape[1]))
    weight = np.select([f <= 0.1, f <= 0.3], [1.0, 4.0], 0.1)
    slope = np.einsum("n,lnp,ln->p", weight, rows.conj(), errors).real / errors.size
    return float((weight * np.abs(errors) ** 2).sum() / errors.size), slope


@pytest.mark.parametrize(("records", "samples"), [(1, 200), (3, 81)])
def test_weights_of_one_are_no_weights(records: int, samples: int) -> None:
    """Parseval's theorem."""
    model, (x, target) = model_of(), pair_of(records, samples)
    plain = LevenbergMarquardt(model, x, target, SCALE)._loss_and_slope()
    alike = LevenbergMarquardt(
        model, x, target, SCALE, Weighting(1.0, 1.0, 1.0, band=0.2, reach=0.3).at
    )._loss_and_slope()
    assert alike[0] == pytest.approx(plain[0], rel=1e-12)
    torch.testing.assert_close(alike[1], plain[1], rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(("records", "samples"), [(1, 203), (3, 81)])
def test_weighted_loss_and_gradient_are_those_of_the_spectrum(records: int, samples: int) -> None:
    model, (x, target) = model_of(lookahead=3), pair_of(records, samples)
    reference = Reference(model, x, target)
    loss, slope = LevenbergMarquardt(model, x, target, SCALE, WEIGHTING.at)._loss_and_slope()
    expected, gradient = weighted_reference(reference, reference.theta)
    assert loss == pytest.approx(expected, rel=1e-7)
    np.testing.assert_allclose(slope.numpy(), gradient, rtol=1e-6, atol=1e-9 * np.abs(gradient).max())
    step = 1e-6 * np.random.default_rng(0).normal(size=len(gradient))
    up, down = (weighted_reference(reference, reference.theta + sign * step)[0] for sign in (1, -1))
    assert 2 * slope.numpy() @ step == pytest.approx((up - down) / 2, rel=1e-4)


def test_the_curvature_is_nowhere_below_the_weighted_one() -> None:
    """The greatest weight times the curvature of equal errors, against that of the weighted spectra in NumPy."""
    model, (x, target) = model_of(), pair_of()
    reference = Reference(model, x, target)
    solver = LevenbergMarquardt(model, x, target, SCALE, WEIGHTING.at)
    assert solver.stride == 1
    solver._update_curvature()
    assert solver.curvature is not None
    found = solver.curvature.numpy()
    np.testing.assert_allclose(found, 4 * reference.curvature(reference.theta), rtol=1e-8, atol=1e-11 * found.max())
    rows = reference.derivatives(reference.theta)[0]
    spectra = np.fft.fft(rows[:, 0] + 1j * rows[:, 1], axis=0, norm="ortho")
    f = np.abs(np.fft.fftfreq(len(spectra)))
    weight = np.select([f <= 0.1, f <= 0.3], [1.0, 4.0], 0.1)
    weighted = np.einsum("n,np,nq->pq", weight, spectra.conj(), spectra).real / len(spectra)
    assert np.linalg.eigvalsh(found - weighted).min() > -1e-9 * found.max()
    assert np.trace(found) > 1.2 * np.trace(weighted), "and not the same"


def test_weights_take_what_all_errors_alike_have_reached_to_what_counts() -> None:
    """From there what is weighed only falls, and the others gain less."""
    x, target = pair_of(samples=400)
    model = model_of()
    plain = LevenbergMarquardt(model, x, target, SCALE)
    for _ in range(40):
        plain.iterate()

    def both() -> tuple[float, float]:
        reference = Reference(model, x, target)
        return weighted_reference(reference, reference.theta)[0], reference.loss(reference.theta)

    weighted, alike = both()
    solver = LevenbergMarquardt(model, x, target, SCALE, WEIGHTING.at)
    steps = [solver.iterate() for _ in range(20)]
    assert steps[0].before == pytest.approx(weighted, rel=1e-6)
    assert all(this.after < this.before for this in steps if this.moved)
    now, all_now = both()
    assert now == pytest.approx(steps[-1].after, rel=1e-6)
    assert now < 0.8 * weighted
    assert now / weighted < 0.9 * all_now / alike


@pytest.mark.parametrize("piece", [37, 64])
def test_each_piece_of_a_weighted_record_has_its_own_spectrum(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levenberg_marquardt, "CHUNK", piece)
    model, (x, target) = model_of(), pair_of(1, 150)
    solver = LevenbergMarquardt(model, x, target, SCALE, WEIGHTING.at)
    pieces = solver._chunks()
    assert len(pieces) > 1
    total = judged = 0.0
    for part, wanted in pieces:
        reference, count = Reference(model, part, wanted), part.shape[1] - (model.context or 0)
        total += count * weighted_reference(reference, reference.theta)[0]
        judged += count
    assert judged == 150 - (model.context or 0)
    assert solver._loss_and_slope()[0] == pytest.approx(total / judged, rel=1e-7)


def test_derivatives_in_groups_are_those_of_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    x, target = pair_of()
    whole = LevenbergMarquardt(model_of(), x, target, SCALE)
    whole._update_curvature()
    monkeypatch.setattr(levenberg_marquardt, "WINDOWS", 7)
    monkeypatch.setattr(levenberg_marquardt, "ROWS", 40)
    grouped = LevenbergMarquardt(model_of(), x, target, SCALE)
    grouped._update_curvature()
    torch.testing.assert_close(grouped.curvature, whole.curvature)


def test_many_short_records_each_give_a_sample_to_the_curvature() -> None:
    """More records than five a parameter: a stride over all samples would step over the end of each."""
    x, target = pair_of(1500, 9)
    model = model_of(conv=0, positions="none")
    solver = LevenbergMarquardt(model, x, target, SCALE)
    assert solver.stride == 9 - (model.context or 0)
    for _ in range(solver.stride):
        assert solver.iterate().moved
        assert solver.curvature is not None
        assert solver.curvature.isfinite().all()


def test_going_on_from_given_parameters_is_going_on() -> None:
    x, target = pair_of()
    straight = LevenbergMarquardt(model_of(), x, target, SCALE)
    for _ in range(2):
        straight.iterate()
    fresh = LevenbergMarquardt(model_of(), x, target, SCALE)
    fresh.set_parameters(straight.theta)
    fresh.curvature, fresh.damping, fresh.count = straight.curvature, straight.damping, straight.count
    assert fresh.iterate() == straight.iterate()
    assert torch.equal(fresh.theta, straight.theta)


def _gru() -> GruModel:
    return GruModel(GRUModel(kind="gru", hidden=3), scale_x=1.0, scale_y=1.0)


def _full() -> Model:
    return Model(Config(**TINY | {"window": "full", "positions": "none"}), scale_x=1.0, scale_y=1.0)


@pytest.mark.parametrize("build", [_gru, _full])
def test_a_model_whose_memory_has_no_end_is_refused(build: Callable[[], Any]) -> None:
    x, target = pair_of(dtype=torch.float32)
    with pytest.raises(ValueError, match="a stated number of samples"):
        LevenbergMarquardt(build(), x, target, SCALE)


def test_a_record_must_be_longer_than_what_the_model_sees() -> None:
    model = model_of(lookahead=3)
    assert (model.context, model.lookahead) == (5, 3)
    x, target = pair_of(samples=8)
    with pytest.raises(ValueError, match="records of 8 samples are shorter"):
        LevenbergMarquardt(model, x, target, SCALE)
    x, target = pair_of(records=30, samples=9)
    assert LevenbergMarquardt(model, x, target, SCALE).iterate().before > 0
