"""Write the functions in float32 C that several kinds of model share: features, matrices, the unit and the limiter."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dpdrun.export.c.source import Source, literal
from dpdrun.models._features import FEATURE_COUNT, RMS_ENVELOPE_CUBED
from dpdrun.recipe.schema import Features

Array = NDArray[np.floating]
Weights = dict[str, Array]
ENVELOPE_EPS = 1e-12  # under the root, as in models/_features.py and models/gmp.py


def identifier(name: str) -> str:
    """Return the C name of a tensor."""
    return name.replace(".", "_")


def linear(c: Source, name: str, weight: Array, bias: Array | None = None, *, add: bool = False) -> None:
    """Write the function `name(x, y)`: y = W x + b, or y += W x + b. weight: (out, in)."""
    rows, columns = weight.shape
    # Stored by columns: the inner loop then has no sum, so compilers vectorize it and still keep the order of rounding
    c.table(f"{name}_weight", weight.T, f"{name}: [input {columns}][output {rows}]")
    if bias is not None:
        c.table(f"{name}_bias", bias)
    start = f"{name}_bias[i]" if bias is not None else "0.0f"
    first = f"for (i = 0; i < {rows}; ++i) {{ y[i] {'+=' if add else '='} {start}; }}"
    c.function(
        """
        static void $name(const float x[$columns], float y[$rows])
        {
            int i, j;
        $first
            for (j = 0; j < $columns; ++j) {
                for (i = 0; i < $rows; ++i) { y[i] += ${name}_weight[j][i] * x[j]; }
            }
        }
        """,
        name=name, rows=rows, columns=columns, first="" if add and bias is None else f"    {first}",
    )  # fmt: skip
    c.count(multiplications=rows * columns)


def linear_of(c: Source, weights: Weights, name: str, *, add: bool = False) -> None:
    """Write `linear` for a layer by its name in the weights."""
    linear(c, identifier(name), weights[f"{name}.weight"], weights.get(f"{name}.bias"), add=add)


def features(c: Source, kind: Features, scale_x: float) -> int:
    """Write the function `features(x, f)`: `models._features.features` of a sample. Returns their number."""
    count = FEATURE_COUNT[kind]
    envelope = f"""
            power = i * i + q * q;
            envelope = sqrtf(power + {literal(ENVELOPE_EPS)});
            f[2] = envelope;
            f[3] = envelope * power * {literal(1 / RMS_ENVELOPE_CUBED)};"""
    c.function(
        """
        /* I and Q of unit rms$more */
        static void features(const float x[2], float f[$count])
        {
            const float i = x[0] * $scale, q = x[1] * $scale;$declared

            f[0] = i * $root;
            f[1] = q * $root;$envelope
        }
        """,
        count=count, scale=literal(1 / scale_x), root=literal(math.sqrt(2)),
        more=", and |x|, |x|^3 likewise for a Gaussian signal" if count == 4 else "",
        declared="\n            float power, envelope;".replace(" " * 12, "    ") if count == 4 else "",
        envelope=envelope.replace(" " * 12, "    ") if count == 4 else "",
    )  # fmt: skip
    c.count(multiplications=4 + (4 if count == 4 else 0), square_roots=int(count == 4))
    return count


# Of 2^f for |f| <= 1/2, by Chebyshev interpolation: error 2e-9, and 1e-7 in float32
EXP2 = (1.0, 0.693147182, 0.240226507, 0.0555032715, 0.00961802527, 0.00134004594, 0.000154697584)
LOG2_E = math.log2(math.e)


def exp2(c: Source) -> None:
    """Write the function `exp2_of(t)`: 2^t. Unlike a call of a library, a loop of it is vectorized."""
    steps = "\n".join(f"    power = power * f + {literal(value)};" for value in EXP2[-2::-1])
    c.function(
        """
        /* 2^t for -126 <= t <= 126, the ends of that beyond: a polynomial of the fraction, and an exponent */
        static float exp2_of(float t)
        {
            union { int32_t bits; float value; } scale;
            const float low = t < 126.0f ? t : 126.0f, inside = low > -126.0f ? low : -126.0f;
            const int32_t nearest = (int32_t)(inside + 126.5f) - 126;
            const float f = inside - (float)nearest;
            float power = $first;

        $steps
            scale.bits = (nearest + 127) * 8388608; /* 2^23: below an exponent there are 23 bits */
            return power * scale.value;
        }
        """,
        first=literal(EXP2[-1]), steps=steps,
    )  # fmt: skip


def output(c: Source, scale_y: float, peak: float | None) -> None:
    """End the step: the unit of the capture, and the limiter. In `out[2]`; the step's `y` may be its `x`."""
    c.step += [f"y[0] = out[0] * {literal(scale_y)};", f"y[1] = out[1] * {literal(scale_y)};"]
    c.count(multiplications=2)
    if peak is None:
        return
    c.function(
        """
        /* Samples beyond the peak are scaled back to it; their phase is kept. */
        static void limit(float y[2])
        {
            const float magnitude = sqrtf(y[0] * y[0] + y[1] * y[1]);

            if (magnitude > $peak) {
                const float gain = $peak / magnitude;
                y[0] *= gain;
                y[1] *= gain;
            }
        }
        """,
        peak=literal(peak),
    )
    c.step.append("limit(y);")
    c.count(multiplications=4, square_roots=1, divisions=1)
