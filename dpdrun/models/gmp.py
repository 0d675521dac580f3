"""Generalized memory polynomial (GMP), fitted by regularized least squares.

    y[n] = sum over delay k, envelope offset m, power p of  c[m, p, k] x[n - k] |x[n - k - m]|^p

m = 0 are the aligned terms, m > 0 the lagging-envelope and m < 0 the leading-envelope terms (Morgan et al., "A
generalized memory polynomial model for digital predistortion of RF power amplifiers", IEEE Trans. Signal Process.
54(10), 2006, eq. 24). The output is linear in the coefficients: one least-squares solution replaces training.

Two defects of the modulators around an amplifier are no function of this kind: leakage of the oscillator, a constant c0
(`constant`), and the image of an I/Q imbalance (`conjugate`), d[p, k] conj(x[n - k]) |x[n - k]|^p (Anttila, Handel,
Valkama, "Joint mitigation of power amplifier and I/Q modulator impairments", IEEE Trans. Microw. Theory Techn. 58(4),
2010). The linear paths of the networks are real matrices on I and Q with a bias, which hold both.

Shapes: B records, T samples, K delays, P powers (0 .. P - 1), R rows and C columns (coefficients) of a regression.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dpdrun.models._base import BehaviouralModel
from dpdrun.recipe.schema import GMPModel as Config

Complex = NDArray[np.complex128]

# Ridges that `fit` tries, relative to columns of unit norm. A squared condition number leaves nothing below 1e-13.
RIDGES = np.logspace(-13, -2, 23)
SILENT = 1e-14  # share of the largest power that rounding leaves in a column of zeros: a delay longer than the record
ROWS = 4096  # regression rows at a time: the basis signals of so many fit the cache of a core
# Ridges whose validation scores differ by less are equally good; the one that starts best from silence is taken.
EQUAL_DB = 0.05

Around = tuple[Complex, Complex]


class Model(BehaviouralModel):
    """(B, T, 2) raw input of the amplifier -> (B, T, 2) raw output.

    MACs: two for each complex coefficient (it weights a real power of the envelope) and four for each delay (a complex
    product with x[n - k]; four more with its conjugate). The powers of the envelope, and the constant, are not counted.
    """

    def __init__(self, config: Config, *, scale_x: float, scale_y: float) -> None:
        super().__init__(scale_x=scale_x, scale_y=scale_y)
        self.config = config
        K, P, cross = config.delays, config.order, config.cross
        self.offsets = [m for m in range(-cross, cross + 1) if m != 0]
        # Last axis: real and imaginary part. Power 0 would repeat the aligned terms at every other offset.
        self.aligned = nn.Parameter(torch.zeros(P, K, 2))
        self.crossed = nn.Parameter(torch.zeros(len(self.offsets), P - 1, K, 2)) if self.offsets and P > 1 else None
        self.conjugated = nn.Parameter(torch.zeros(P, K, 2)) if config.conjugate == "on" else None
        self.macs_per_sample = sum(p.numel() for p in self.parameters()) + 4 * K * (1 + (config.conjugate == "on"))
        self.constant = nn.Parameter(torch.zeros(2)) if config.constant == "on" else None
        self.lookahead = cross
        self.context = K - 1 + cross

    def initial_state(self, batch: int) -> Tensor:
        """Return the scaled inputs that the next output still depends on: (batch, context + lookahead, 2) zeros."""
        assert self.context is not None
        assert self.lookahead is not None
        return self.scale_x.new_zeros(batch, self.context + self.lookahead, 2)

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Continue a stream; see `BehaviouralModel.step`."""
        T, K, cross = x.shape[1], self.config.delays, self.config.cross
        x = torch.cat([state, x / self.scale_x], dim=1)  # (B, T + K - 1 + 2 cross, 2)
        powers = _powers((x.square().sum(-1) + 1e-12).sqrt(), self.config.order)  # (B, ..., P)

        inner = slice(cross, x.shape[1] - cross)  # the samples that have an envelope on both sides: T + K - 1
        gain = torch.einsum("bnp,pkc->bnkc", powers[:, inner], self.aligned)  # what each sample is multiplied by
        if self.crossed is not None:
            for m, coefficients in zip(self.offsets, self.crossed, strict=True):
                shifted = powers[:, cross - m : x.shape[1] - cross - m, 1:]
                gain = gain + torch.einsum("bnp,pkc->bnkc", shifted, coefficients)
        z = torch.view_as_complex(x[:, inner].contiguous())[..., None]
        terms = torch.view_as_complex(gain) * z
        if self.conjugated is not None:
            image = torch.einsum("bnp,pkc->bnkc", powers[:, inner], self.conjugated)
            terms = terms + torch.view_as_complex(image) * z.conj()
        y = torch.stack([terms[:, K - 1 - k : K - 1 - k + T, k] for k in range(K)]).sum(0)  # (B, T) complex
        pairs = torch.view_as_real(y)
        if self.constant is not None:
            pairs = pairs + self.constant
        return pairs * self.scale_y, x[:, T:]

    def fit(
        self,
        x: Complex,
        y: Complex,
        x_val: Complex,
        y_val: Complex,
        *,
        around: Around | None = None,
        loop: int | None = None,
    ) -> float:
        """Solve for the coefficients and return the ridge that was chosen.

        Minimizes |y - A c|^2 + ridge |D c|^2 in complex128, D being the norms of A's columns, for each of RIDGES, and
        keeps the coefficients with the least error on the validation part: unregularized, high orders follow the
        training peaks and miss others by far. The validation part is continued by the samples `around` it. That error
        has a flat minimum over the ridge, and where it is least, terms may cancel so closely that a cold start, of a
        burst or in a published table, loses 4 to 34 dB (APA_200MHz, APA_200MHz_b). So of the ridges within EQUAL_DB of
        the least error, the one with the least error from a cold start is chosen.

        Args:
            x, y: input and output of the training part, complex (T,), in the units of the capture
            x_val, y_val: of the validation part
            around: input before and after the validation part in its record, None = unknown; not used with `loop`
            loop: the records are rows of loops of this many samples (`data.continuity`); None = one record each
        """
        gram, moment = self._normal_equations(x, y, loop)
        cold = self._normal_equations(x_val, y_val, loop)
        known = loop is None and around is not None and any(map(len, around))
        in_record = self._normal_equations(x_val, y_val, loop, around) if known else cold
        power = float(np.sum(np.abs(y_val / float(self.scale_y)) ** 2))
        squares = gram.diagonal().real
        norms = np.sqrt(np.where(squares > SILENT * squares.max(), squares, 1.0))
        eigenvalues, vectors = np.linalg.eigh(gram / np.outer(norms, norms))
        projected = vectors.conj().T @ (moment / norms)

        def solution(ridge: float) -> Complex:
            return np.asarray(vectors @ (projected / (eigenvalues.clip(0.0) + ridge)) / norms)

        def error_of(ridge: float, equations: tuple[Complex, Complex]) -> float:  # |y_val - A_val c|^2
            c = solution(ridge)
            return power + float(np.vdot(c, equations[0] @ c).real - 2 * np.vdot(c, equations[1]).real)

        errors = {ridge: error_of(ridge, in_record) for ridge in RIDGES.tolist()}
        limit = max(min(errors.values()), 0.0) * 10 ** (EQUAL_DB / 10)  # rounding may leave less than 0 of no error
        equal = [ridge for ridge, error in errors.items() if error <= limit]
        best: float = min(equal, key=lambda ridge: error_of(ridge, cold))
        flat = torch.from_numpy(solution(best).view(np.float64).reshape(-1, 2))
        with torch.no_grad():
            self.aligned.copy_(flat[: self.aligned[..., 0].numel()].view_as(self.aligned))
            for part in (self.aligned, self.crossed, self.conjugated, self.constant):  # the order of the columns
                if part is not None:
                    part.copy_(flat[: part.numel() // 2].view_as(part))
                    flat = flat[part.numel() // 2 :]
        return best

    def _normal_equations(
        self, x: Complex, y: Complex, loop: int | None, around: Around | None = None
    ) -> tuple[Complex, Complex]:
        """Return A^H A: (C, C) and A^H y: (C,), for the regression matrix A of a record.

        The columns are J basis signals, each with K delays, and a constant if there is one. An element of A^H A is a
        sum over the product of two delayed signals; with both delays one longer it is the same sum one sample earlier.
        So only the products with an undelayed signal are summed up, J C of C^2, and the others follow from them and
        from the samples at the ends of the records.
        """
        K = self.config.delays
        records, targets = (
            np.asarray(side, dtype=np.complex128).reshape(-1, loop or len(side)) / float(scale)
            for side, scale in ((x, self.scale_x), (y, self.scale_y))
        )
        J, T = len(self._signals), records.shape[1]
        products = np.zeros((K, J, J), dtype=np.complex128)  # of conj(signal i) and signal j k samples ago, summed up
        moment = np.zeros((K, J), dtype=np.complex128)
        sums = np.zeros((K, J), dtype=np.complex128)
        first, last = (np.empty((len(records), J, K - 1), dtype=np.complex128) for _ in range(2))
        for index, (record, target) in enumerate(zip(records, targets, strict=True)):
            basis = self._basis(record, wrap=loop is not None, around=around)
            for start in range(K - 1, K - 1 + T, ROWS):
                end = min(start + ROWS, K - 1 + T)
                now, rows = basis[:, start:end].conj(), target[start - (K - 1) : end - (K - 1)]
                for k in range(K):
                    delayed = basis[:, start - k : end - k]
                    products[k] += now @ delayed.T
                    moment[k] += delayed.conj() @ rows
                    sums[k] += delayed.sum(axis=1)
            first[index] = basis[:, : K - 1][:, ::-1]  # before the first row, latest sample first
            last[index] = basis[:, T : T + K - 1][:, ::-1]  # what the last row has of it
        change = _outer(first) - _outer(last)

        gram = np.empty((J, K, J, K), dtype=np.complex128)
        gram[:, 0] = products.transpose(1, 2, 0)
        for k in range(1, K):
            gram[:, k, :, 0] = gram[:, 0, :, k].conj().T
            gram[:, k, :, 1:] = gram[:, k - 1, :, :-1] + change[:, k - 1]
        flat, side = gram.reshape(J * K, J * K), moment.T.reshape(J * K)
        if self.constant is None:
            return flat, side
        edge = sums.T.reshape(1, J * K)
        corner = np.array([[float(targets.size)]])
        return np.block([[flat, edge.conj().T], [edge, corner]]), np.append(side, targets.sum())

    @property
    def _signals(self) -> list[tuple[int, int, bool]]:
        """Offset of the envelope, its power, and whether the input is conjugated, in the order of the columns."""
        P = self.config.order
        signals = [(0, p, False) for p in range(P)] + [(m, p, False) for m in self.offsets for p in range(1, P)]
        return signals + ([(0, p, True) for p in range(P)] if self.conjugated is not None else [])

    def _basis(self, record: Complex, *, wrap: bool, around: Around | None) -> Complex:
        """Return the undelayed columns of a record, with K - 1 samples before its first: (J, K - 1 + T)."""
        K, cross = self.config.delays, self.config.cross
        before, after = K - 1 + cross, cross
        if around is not None:
            past, future = (np.asarray(side, np.complex128) / float(self.scale_x) for side in around)
            past, future = past[max(0, len(past) - before) :], future[:after]
            record = np.concatenate([past, record, future])
            before, after = before - len(past), after - len(future)
        record = np.pad(record, (before, after), mode="wrap" if wrap else "constant")
        powers = _powers(torch.from_numpy(np.abs(record)), self.config.order).numpy().T  # (P, ...)
        inner = np.arange(cross, len(record) - cross)  # the samples that have an envelope on both sides
        sides = {False: record[inner], True: record[inner].conj()}
        return np.stack([sides[image] * powers[p, inner - m] for m, p, image in self._signals])


def _outer(parts: Complex) -> Complex:
    """Return the sum over records of conj(a) b for all pairs of elements. (N, J, D) -> (J, D, J, D)."""
    rows = parts.reshape(len(parts), -1)
    return (rows.conj().T @ rows).reshape(parts.shape[1:] * 2)


def _powers(envelope: Tensor, count: int) -> Tensor:
    """Return |x|^p for p < count on a new last axis, each scaled so that x |x|^p has unit rms for Gaussian x."""
    scales = [1 / math.sqrt(math.factorial(p + 1)) for p in range(count)]
    return torch.stack([envelope**p * scale for p, scale in enumerate(scales)], dim=-1)
