"""Write one step of `models/gmp.py` in float32 C.

Shapes: K delays, P powers, C = cross. The output is late by C samples, so a ring of the last K + 2 C samples holds the
envelopes on both sides.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dpdrun.export.c.blocks import ENVELOPE_EPS, Array, Weights
from dpdrun.export.c.source import Source, literal


def write(c: Source, config: dict[str, Any], weights: Weights, scale_x: float) -> None:
    """Write the ring, the gain of each delay and the sum; the result is in `out`."""
    K, P, cross = config["delays"], config["order"], config["cross"]
    length = K + 2 * cross
    c.member("past", length, 2, comment="ring of the last samples, of unit rms")
    if P > 1:
        c.member("powers", length, P - 1, comment="powers 1, 2, ... of their envelopes, scaled")
        _powers(c, P, length)
    c.member("slot", ctype="int32_t", comment="of the newest sample in the ring")
    c.function(
        """
        /* The slot of the sample that came `age` samples ago */
        static int slot_of(const ${prefix}_state *s, int age)
        {
            const int slot = (int)s->slot - age;

            return slot < 0 ? slot + $length : slot;
        }
        """,
        length=length,
    )
    c.step += [
        "float out[2];",
        "",
        f"s->slot = s->slot + 1 == {length} ? 0 : s->slot + 1;",
        f"s->past[s->slot][0] = x[0] * {literal(1 / scale_x)};",
        f"s->past[s->slot][1] = x[1] * {literal(1 / scale_x)};",
        *(["envelope_powers(s->past[s->slot], s->powers[s->slot]);"] if P > 1 else []),
        *(f"out[{i}] = {literal(float(value))};" for i, value in enumerate(weights.get("constant", (0.0, 0.0)))),
        "polynomial(s, out);",
    ]
    c.count(multiplications=2)
    _polynomial(c, "polynomial", _joined(weights, cross), weights["aligned"][0], cross)
    if "conjugated" in weights:
        image = weights["conjugated"]
        _polynomial(c, "image", image[None, 1:].transpose(2, 0, 1, 3), image[0], cross, conjugate=True)
        c.step.append("image(s, out);")


def _powers(c: Source, P: int, length: int) -> None:
    c.table("scales", np.array([1 / math.sqrt(math.factorial(p + 1)) for p in range(1, P)]), "1 / sqrt((p + 1)!)")
    c.function(
        """
        /* |x|^p / sqrt((p + 1)!) for p = 1 .. $last */
        static void envelope_powers(const float x[2], float powers[$last])
        {
            const float envelope = sqrtf(x[0] * x[0] + x[1] * x[1] + $eps);
            float power = 1.0f;
            int p;

            for (p = 0; p < $last; ++p) {
                power *= envelope;
                powers[p] = power * scales[p];
            }
        }
        """,
        last=P - 1, eps=literal(ENVELOPE_EPS),
    )  # fmt: skip
    c.reset.append(f"for (i = 0; i < {length}; ++i) {{ envelope_powers(s->past[i], s->powers[i]); }}")
    c.count(multiplications=2 + 2 * (P - 1), square_roots=1)


def _joined(weights: Weights, cross: int) -> Array:
    """Return aligned and crossed coefficients of the powers 1 .. P - 1 as one array: (K, 2 C + 1, P - 1, 2)."""
    parts = weights["aligned"][None, 1:]  # (1, P - 1, K, 2)
    if "crossed" in weights:
        parts = np.concatenate([weights["crossed"][:cross], parts, weights["crossed"][cross:]])
    elif cross:  # order 1: no envelopes
        parts = np.zeros((2 * cross + 1, 0, *weights["aligned"].shape[1:]))
    return np.asarray(parts.transpose(2, 0, 1, 3))


def _polynomial(c: Source, name: str, terms: Array, plain: Array, cross: int, *, conjugate: bool = False) -> None:
    """Write the function `name(s, out)`: out += sum over k of gain[k] x[n - k], or of its conjugate.

    Args:
        terms: coefficients of the powers 1 .. P - 1 of the envelopes around each delay: (K, offsets, P - 1, 2).
        plain: those of power 0, which is 1: (K, 2).
    """
    K, offsets, powers = terms.shape[:3]
    for part, column in (("re", 0), ("im", 1)):
        c.table(f"{name}_plain_{part}", plain[:, column])
        if powers:
            c.table(f"{name}_{part}", terms[..., column], f"[delay {K}][envelope offset {offsets}][power {powers}]")
    first = cross - offsets // 2  # age of the first envelope, at delay 0
    loop = f"""
                for (m = 0; m < {offsets}; ++m) {{
                    const float *power = s->powers[slot_of(s, k + m{f" + {first}" if first else ""})];

                    for (p = 0; p < {powers}; ++p) {{
                        re += {name}_re[k][m][p] * power[p];
                        im += {name}_im[k][m][p] * power[p];
                    }}
                }}"""
    signs = ("re * z[0] + im * z[1]", "im * z[0] - re * z[1]") if conjugate else (
        "re * z[0] - im * z[1]", "re * z[1] + im * z[0]")  # fmt: skip
    c.function(
        """
        /* Each of the last $K samples$which times its gain, a polynomial of the envelopes around it */
        static void $name(const ${prefix}_state *s, float out[2])
        {
            int k$indices;

            for (k = 0; k < $K; ++k) {
                const float *z = s->past[slot_of(s, k$late)];
                float re = ${name}_plain_re[k], im = ${name}_plain_im[k];
        $loop
                out[0] += $real;
                out[1] += $imaginary;
            }
        }
        """.replace("$loop", loop.replace("\n        ", "\n") if powers else ""),
        name=name, K=K, which=", conjugated," if conjugate else "", late=f" + {cross}" if cross else "",
        indices=", m, p" if powers else "", real=signs[0], imaginary=signs[1],
    )  # fmt: skip
    c.count(multiplications=K * (2 * offsets * powers + 4))
