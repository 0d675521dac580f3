"""Write one step of `models/gmp.py` in float32 C.

Shapes: K delays, P powers, C = cross. The output is C samples late, so the last K + 2 C samples are kept, with the
powers of their envelopes on both sides. They are written twice, K + 2 C places apart: then the last samples always lie
next to each other, and loops over the delays are vectorized.
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
    c.member("past", 2, 2 * length, comment="I and Q of the last samples, of unit rms, twice; newest first")
    if P > 1:
        c.member("powers", P - 1, 2 * length, comment="powers 1, 2, ... of their envelopes, scaled")
    c.member("newest", ctype="int32_t", comment="where the newest sample is")
    _remember(c, P, length)
    if P > 1:
        c.reset.append(f"for (i = 0; i < {length}; ++i) {{ remember(s, 0.0f, 0.0f); }}")
    c.step += [
        "float out[2];",
        "",
        f"remember(s, x[0] * {literal(1 / scale_x)}, x[1] * {literal(1 / scale_x)});",
        *(f"out[{i}] = {literal(float(value))};" for i, value in enumerate(weights.get("constant", (0.0, 0.0)))),
        "polynomial(s, out);",
    ]
    c.count(multiplications=2)
    _polynomial(c, "polynomial", _joined(weights, P, cross), weights["aligned"][0], cross)
    if "conjugated" in weights:
        image = weights["conjugated"]
        _polynomial(c, "image", image[None, 1:], image[0], cross, conjugate=True)
        c.step.append("image(s, out);")


def _remember(c: Source, P: int, length: int) -> None:
    """Write the function `remember(s, i, q)`: keep a sample and |x|^p / sqrt((p + 1)!) for p = 1 .. P - 1."""
    powers = f"""
            for (p = 0; p < {P - 1}; ++p) {{
                power *= envelope;
                s->powers[p][at] = s->powers[p][at + {length}] = power * scales[p];
            }}"""
    root = f"sqrtf(i * i + q * q + {literal(ENVELOPE_EPS)})"
    declared = f"    const float envelope = {root};\n    float power = 1.0f;\n    int p;\n"
    if P > 1:
        scales = np.array([1 / math.sqrt(math.factorial(p + 1)) for p in range(1, P)])
        c.table("scales", scales, "of the powers of the envelope: 1 / sqrt((p + 1)!)")
        c.count(multiplications=2 + 2 * (P - 1), square_roots=1)
    c.function(
        """
        /* Keep a sample, and the powers of its envelope. */
        static void remember(${prefix}_state *s, float i, float q)
        {
            const int at = s->newest == 0 ? $last : (int)s->newest - 1;
        $declared
            s->newest = at;
            s->past[0][at] = s->past[0][at + $length] = i;
            s->past[1][at] = s->past[1][at + $length] = q;$powers
        }
        """,
        last=length - 1, length=length, powers=powers.replace("\n        ", "\n") if P > 1 else "",
        declared=declared if P > 1 else "",
    )  # fmt: skip


def _joined(weights: Weights, P: int, cross: int) -> Array:
    """Return aligned and crossed coefficients of the powers 1 .. P - 1 as one array: (2 C + 1, P - 1, K, 2)."""
    parts = weights["aligned"][None, 1:]
    if "crossed" in weights:
        return np.concatenate([weights["crossed"][:cross], parts, weights["crossed"][cross:]])
    return parts if P > 1 else np.zeros((1, 0, *weights["aligned"].shape[1:]))


def _polynomial(c: Source, name: str, terms: Array, plain: Array, cross: int, *, conjugate: bool = False) -> None:
    """Write the function `name(s, out)`: out += sum over k of gain[k] x[n - k], or of its conjugate.

    Args:
        terms: coefficients of the powers 1 .. P - 1 of the envelopes around each delay: (offsets, P - 1, K, 2).
        plain: those of power 0, which is 1: (K, 2).
    """
    offsets, powers, K = terms.shape[:3]
    for part, column in (("re", 0), ("im", 1)):
        c.table(f"{name}_plain_{part}", plain[:, column])
        if powers:
            c.table(f"{name}_{part}", terms[..., column], f"[envelope offset {offsets}][power {powers}][delay {K}]")
    first = cross - offsets // 2  # age of the first envelope, at delay 0
    loop = f"""
            for (m = 0; m < {offsets}; ++m) {{
                for (p = 0; p < {powers}; ++p) {{
                    const float *power = &s->powers[p][s->newest + m{f" + {first}" if first else ""}];

                    for (k = 0; k < {K}; ++k) {{
                        re[k] += {name}_re[m][p][k] * power[k];
                        im[k] += {name}_im[m][p][k] * power[k];
                    }}
                }}
            }}"""
    signs = ("re[k] * i[k] + im[k] * q[k]", "im[k] * i[k] - re[k] * q[k]") if conjugate else (
        "re[k] * i[k] - im[k] * q[k]", "re[k] * q[k] + im[k] * i[k]")  # fmt: skip
    late = f" + {cross}" if cross else ""
    c.function(
        """
        /* Each of the last $K samples$which times its gain, a polynomial of the envelopes around it */
        static void $name(const ${prefix}_state *s, float out[2])
        {
            const float *i = &s->past[0][s->newest$late], *q = &s->past[1][s->newest$late];
            float re[$K], im[$K];
            int k$indices;

            for (k = 0; k < $K; ++k) {
                re[k] = ${name}_plain_re[k];
                im[k] = ${name}_plain_im[k];
            }$loop
            for (k = 0; k < $K; ++k) {
                out[0] += $real;
                out[1] += $imaginary;
            }
        }
        """.replace("$loop", loop if powers else ""),
        name=name, K=K, which=", conjugated," if conjugate else "", late=late,
        indices=", m, p" if powers else "", real=signs[0], imaginary=signs[1],
    )  # fmt: skip
    c.count(multiplications=K * (2 * offsets * powers + 4))
