from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dpdrun.models import gmp
from dpdrun.models.gmp import Config, Model

Complex = NDArray[np.complex128]


def signal(length: int, seed: int = 0) -> Complex:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(length) + 1j * rng.standard_normal(length)) / np.sqrt(2)


def amplifier(x: Complex) -> Complex:
    """Aligned, lagging and leading terms, one of each: y[n] = 1.5 x[n] + ... - 0.02j x[n - 1] |x[n]|^2."""
    past, future = np.concatenate([[0], x[:-1]]), np.concatenate([x[1:], [0]])
    return 1.5 * x + 0.3j * past - 0.1 * x * abs(x) ** 2 + 0.05 * x * abs(past) + (0.03 - 0.02j) * x * abs(future) ** 2


def fitted(config: Config, noise: float = 0.0) -> Model:
    x, x_val = signal(3000), signal(1500, seed=1)
    y, y_val = (amplifier(v) + noise * signal(len(v), seed=9) for v in (x, x_val))
    model = Model(config, scale_x=float(np.sqrt(np.mean(abs(x) ** 2))), scale_y=float(np.sqrt(np.mean(abs(y) ** 2))))
    model.fit(x, y, x_val, y_val)
    return model


def run(model: Model, x: Complex) -> Complex:
    pairs = torch.from_numpy(np.stack([x.real, x.imag], axis=-1)).float()
    with torch.no_grad():
        return np.asarray(torch.view_as_complex(model(pairs[None])[0].contiguous()).numpy())


def nmse_db(y: Complex, estimate: Complex) -> float:
    return float(10 * np.log10(np.sum(abs(y - estimate) ** 2) / np.sum(abs(y) ** 2)))


def test_forward_equals_the_published_sum() -> None:
    """Morgan et al. 2006, eq. 24, term by term; column scales are those of complex Gaussian moments E|x|^2n = n!."""
    torch.manual_seed(0)
    K, P, cross = 3, 4, 2
    model = Model(Config(kind="gmp", order=P, delays=K, cross=cross), scale_x=2.0, scale_y=5.0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    assert model.crossed is not None
    aligned, crossed = (torch.view_as_complex(p.detach()).numpy() for p in (model.aligned, model.crossed))
    x = 2.0 * signal(12)

    def sample(n: int) -> complex:
        return complex(x[n]) / 2.0 if 0 <= n < len(x) else 0.0

    moments = np.sqrt([1.0, 2.0, 6.0, 24.0])
    expected = np.zeros(len(x), dtype=complex)
    for n in range(len(x)):
        for k in range(K):
            for p in range(P):
                expected[n] += aligned[p, k] * sample(n - k) * abs(sample(n - k)) ** p / moments[p]
            for i, m in enumerate([-2, -1, 1, 2]):
                for p in range(1, P):
                    expected[n] += crossed[i, p - 1, k] * sample(n - k) * abs(sample(n - k - m)) ** p / moments[p]
    np.testing.assert_allclose(run(model, x), 5.0 * expected, rtol=1e-4, atol=1e-4)


def test_least_squares_recovers_an_amplifier_of_its_own_kind() -> None:
    model = fitted(Config(kind="gmp", order=3, delays=2, cross=1))
    x = signal(1000, seed=2)
    assert nmse_db(amplifier(x), run(model, x)) < -100


def test_fit_equals_numpys_least_squares() -> None:
    """With noise and a well-posed basis the least ridge wins, and that is ordinary least squares."""
    model = fitted(Config(kind="gmp", order=1, delays=3, cross=0), noise=0.1)
    x = signal(3000)
    y = amplifier(x) + 0.1 * signal(3000, seed=9)
    A = np.stack([np.concatenate([np.zeros(k), x[: len(x) - k]]) for k in range(3)], axis=1)
    c, *_ = np.linalg.lstsq(A, y, rcond=None)
    np.testing.assert_allclose(run(model, x), A @ c, rtol=1e-2, atol=1e-2)


def test_validation_chooses_a_ridge_that_tames_high_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fit on few samples with small peaks must not explode on larger ones."""
    train, val, test = (0.8 * signal(500), signal(1500, seed=1), signal(1500, seed=2))

    def measured(x: Complex) -> Complex:
        return amplifier(x) + 0.05 * signal(len(x), seed=9)

    model = Model(Config(kind="gmp", order=6, delays=4, cross=1), scale_x=0.8, scale_y=1.0)
    ridge = model.fit(train, measured(train), val, measured(val))
    chosen = nmse_db(measured(test), run(model, test))
    monkeypatch.setattr(gmp, "RIDGES", np.array([1e-13]))
    model.fit(train, measured(train), val, measured(val))
    assert ridge > 1e-8
    assert chosen < nmse_db(measured(test), run(model, test)) - 3


def test_the_ridge_is_chosen_by_the_validation_part_in_its_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """The terms of a fourth difference cancel on a narrow band, and do not where a part begins in silence."""
    x = np.convolve(signal(900), np.hanning(10), mode="same")
    y = np.convolve(x, np.eye(5)[0] + 3 * np.array([1.0, -4.0, 6.0, -4.0, 1.0]))[: len(x)]
    y = y + 0.001 * signal(len(x), seed=9)
    val = slice(600, 700)
    around = (x[: val.start], x[val.stop :])
    model = Model(Config(kind="gmp", order=1, delays=5, cross=0), scale_x=1.0, scale_y=1.0)

    def error(ridge: float) -> float:
        with monkeypatch.context() as patch:
            patch.setattr(gmp, "RIDGES", np.array([ridge]))
            model.fit(x[:500], y[:500], x[val], y[val])
        return nmse_db(y[val], run(model, x[: val.stop])[val])

    ridge = model.fit(x[:500], y[:500], x[val], y[val], around=around)
    assert error(ridge) <= min(map(error, gmp.RIDGES.tolist())) + gmp.EQUAL_DB
    assert error(model.fit(x[:500], y[:500], x[val], y[val])) > error(ridge) + 1


def test_of_equal_ridges_the_one_with_the_best_cold_start_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(kind="gmp", order=3, delays=4, cross=1)
    x, x_val = signal(3000), signal(1500, seed=1)
    y, y_val = amplifier(x), amplifier(x_val)
    cold = Model(config, scale_x=1.0, scale_y=1.0).fit(x, y, x_val, y_val)
    monkeypatch.setattr(gmp, "EQUAL_DB", 1000.0)
    around = (signal(50, seed=3), signal(50, seed=4))
    assert Model(config, scale_x=1.0, scale_y=1.0).fit(x, y, x_val, y_val, around=around) == cold


@pytest.mark.parametrize("known", [0, 2, 50])
def test_samples_around_a_record_are_its_past_and_future(known: int) -> None:
    config = Config(kind="gmp", order=3, delays=4, cross=2)
    model = Model(config, scale_x=1.0, scale_y=1.0)
    x = signal(300)
    padded = np.concatenate([np.zeros(100), x[100 - known : 200 + known], np.zeros(100)])
    whole = model._basis(padded, wrap=False, around=None)
    begin = config.delays - 1 + 100
    part = model._basis(x[100:200], wrap=False, around=(x[100 - known : 100], x[200 : 200 + known]))
    np.testing.assert_array_equal(part, whole[:, begin + known - (config.delays - 1) : begin + known + 100])


def test_a_record_shorter_than_the_memory_can_be_fitted() -> None:
    config = Config(kind="gmp", order=3, delays=16, cross=2)
    x = signal(9)
    model = Model(config, scale_x=1.0, scale_y=1.0)
    model.fit(x, amplifier(x), x, amplifier(x))
    assert np.isfinite(run(model, x)).all()


@pytest.mark.parametrize(("cross", "expected"), [(0, 4 * 3), (2, 4 * 3 + 4 * 3 * 3)])
def test_coefficients_and_macs_by_hand(cross: int, expected: int) -> None:
    model = Model(Config(kind="gmp", order=4, delays=3, cross=cross), scale_x=1.0, scale_y=1.0)
    assert sum(p.numel() for p in model.parameters()) == 2 * expected
    assert model.macs_per_sample == 2 * expected + 4 * 3


def test_loops_are_fitted_with_their_own_end_as_their_past() -> None:
    """A memory polynomial measured loop by loop is recovered to rounding, which no fit blind to the splices can do."""
    rng = np.random.default_rng(5)
    x = (rng.normal(size=(6, 300)) + 1j * rng.normal(size=(6, 300))) / 2
    y = x + 0.3 * np.roll(x, 2, axis=1) * np.abs(np.roll(x, 2, axis=1)) ** 2
    errors = {}
    for loop in (300, None):
        model = Model(Config(kind="gmp", order=3, delays=4, cross=0), scale_x=1.0, scale_y=1.0)
        model.fit(x.ravel(), y.ravel(), x.ravel(), y.ravel(), loop=loop)
        with torch.no_grad():
            out = torch.view_as_complex(model(torch.view_as_real(torch.from_numpy(np.tile(x, 2))).float())).numpy()
        errors[loop] = float(np.mean(np.abs(out[:, 300:] - y) ** 2) / np.mean(np.abs(y) ** 2))
    assert errors[300] < 1e-10
    assert errors[None] > 100 * errors[300]


def leaking(x: Complex) -> Complex:
    """The amplifier between modulators with LO leakage and an image."""
    return amplifier(x) + (0.05 - 0.02j) + 0.03j * x.conj() + 0.01 * x.conj() * abs(x) ** 2


@pytest.mark.parametrize(("more", "least", "most"), [
    ({}, -35.0, -20.0), ({"constant": "on"}, -35.0, -20.0), ({"conjugate": "on"}, -35.0, -20.0),
    ({"constant": "on", "conjugate": "on"}, -300.0, -100.0),
])  # fmt: skip
def test_a_constant_and_conjugate_terms_hold_leakage_and_image(more: Any, least: float, most: float) -> None:
    x, x_val = signal(3000), signal(1500, seed=1)
    model = Model(Config(kind="gmp", order=3, delays=2, cross=1, **more), scale_x=0.8, scale_y=1.3)
    model.fit(x, leaking(x), x_val, leaking(x_val))
    unseen = signal(1000, seed=2)
    assert least < nmse_db(leaking(unseen), run(model, unseen)) < most


def test_a_model_without_them_has_the_tensors_of_older_files() -> None:
    assert set(Model(Config(kind="gmp"), scale_x=1.0, scale_y=1.0).state_dict()) == {
        "scale_x", "scale_y", "aligned", "crossed"
    }  # fmt: skip


@pytest.mark.parametrize(("samples", "loop"), [(230, None), (5, None), (230, 46), (12, 4)])
@pytest.mark.parametrize("more", [{}, {"conjugate": "on", "constant": "on"}], ids=["plain", "all terms"])
def test_normal_equations_are_those_of_the_written_out_matrix(
    samples: int, loop: int | None, more: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the products with undelayed signals are summed; the others follow from the ends of the records."""
    monkeypatch.setattr(gmp, "ROWS", 50)  # several blocks of rows
    K, P, cross = 7, 3, 2
    x, y = signal(samples), signal(samples, seed=1)
    model = Model(Config(kind="gmp", order=P, delays=K, cross=cross, **more), scale_x=0.5, scale_y=2.0)
    found = model._normal_equations(x, y, loop)

    blocks = []
    for record in np.split(x / 0.5, 1 if loop is None else samples // loop):

        def at(n: int, record: Complex = record) -> complex:
            return record[n % loop] if loop else record[n] if 0 <= n < len(record) else 0.0

        def term(n: int, m: int, p: int, k: int, at: Any = at) -> complex:
            return complex(at(n - k) * abs(at(n - k - m)) ** p / np.sqrt([1.0, 2.0, 6.0][p]))

        keys = [(0, p, k) for p in range(P) for k in range(K)]
        keys += [(m, p, k) for m in (-2, -1, 1, 2) for p in range(1, P) for k in range(K)]
        rows = np.array([[term(n, *key) for key in keys] for n in range(len(record))])
        blocks.append(np.hstack([rows, rows[:, : P * K].conj(), np.ones((len(rows), 1))]) if more else rows)
    A = np.vstack(blocks)
    np.testing.assert_allclose(found[0], A.conj().T @ A, rtol=0, atol=1e-12 * len(A) * np.abs(A).max() ** 2)
    np.testing.assert_allclose(found[1], A.conj().T @ (y / 2.0), rtol=0, atol=1e-12 * len(A) * np.abs(A).max() ** 2)
