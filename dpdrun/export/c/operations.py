"""Write the operations of a fixed-point program in C: one function for each of `quantization.reference.OPERATIONS`."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

import numpy as np

from dpdrun.export.c.fixed import Function
from dpdrun.quantization.integers import plain
from dpdrun.quantization.reference import SCORE_BITS, WEIGHT_FRACTION


def linear(f: Function) -> None:
    """Write a sum of matrices times tensors, tensors, and a bias."""
    each, words = f.each, f.words
    matrices = [term for term in each["terms"] if term["weight"]]
    identities = [term for term in each["terms"] if not term["weight"]]
    if each["bias"]:
        words.table(f"{f.own}_bias", words.weights[each["bias"]])
    bias = f"{f.own}_bias[i]" if each["bias"] else "0"
    declared, gathered, inner = ["int i, j;" if matrices else "int i;"], list[str](), [f"$acc sum = {bias};", ""]
    if matrices:
        column, count, gathered = _column(f, matrices)
        declared, gathered = [*gathered[:1], *declared], gathered[1:]
        inner.append(f"for (j = 0; j < {count}; ++j) {{ sum += ($acc){f.own}_weight[i][j] * {column}[j]; }}")
        if matrices[0]["left"] != 0:  # the same for all of them
            inner[0] = "$acc sum = 0;"
            inner += [f"sum = sum * (($acc)1 << {f.shifts('left', matrices[0]['left'])}) + {bias};"]
    for number, term in enumerate(identities):
        left = f.shifts(f"left_{number}", term["left"])
        scale = "" if left == "0" else f" * (($acc)1 << {left})"
        inner.append(f"sum += ($acc){f.pointer(term['x'], term['delay'])}[i]{scale};")
    inner.append(f.stored("sum"))
    loop = [f"for (i = 0; i < {words.size(each['out'])}; ++i) {{", *(f"    {line}" if line else "" for line in inner)]
    f.finish("\n".join([*declared, "", *gathered, *loop, "}"]), _formula(each))


def _formula(each: dict[str, Any]) -> str:
    """Return what `linear` computes, for a comment."""
    inputs = list(dict.fromkeys(term["x"] for term in each["terms"] if term["weight"]))
    parts = [f"W [{', '.join(inputs)}]"] if inputs else []
    parts += [term["x"] for term in each["terms"] if not term["weight"]] + (["b"] if each["bias"] else [])
    return f"{each['out']} = {' + '.join(parts)}"


def _column(f: Function, terms: list[dict[str, Any]]) -> tuple[str, int, list[str]]:
    """Join the matrices of terms into the table `<own>_weight`.

    Returns:
        C name of the column that it multiplies, its length, and the statements that gather it, a declaration first.
    """
    words = f.words
    order = list(dict.fromkeys(term["x"] for term in terms))
    terms = sorted(terms, key=lambda term: (order.index(term["x"]), term["delay"]))
    joined = np.concatenate([words.weights[term["weight"]] for term in terms], axis=1)
    labels = ", ".join(f"{x} {[t['delay'] for t in ts]}" for x, ts in _grouped(terms))
    words.table(f"{f.own}_weight", joined, f"of {labels}: tensor [samples ago]" if len(terms) > 1 else "")
    if len(terms) == 1:
        return f.pointer(terms[0]["x"], terms[0]["delay"]), joined.shape[1], []
    widest = max((words.type_of(term["x"]) for term in terms), key=lambda ctype: int(ctype[3:-2]))
    lines, at = [f"{widest} column[{joined.shape[1]}];"], 0
    for x, group in _grouped(terms):
        size = words.size(x)
        delays = [term["delay"] for term in group]
        runs = [list(run) for _, run in groupby(enumerate(delays), key=lambda pair: pair[1] - pair[0])]
        for run in runs:
            first = run[0][1]
            if len(run) == 1:
                name = f.pointer(x, first)
                lines.append(f"for (j = 0; j < {size}; ++j) {{ column[{at} + j] = {name}[j]; }}")
            else:
                source = f.read(x, f"i + {first}" if first else "i")
                lines.append(f"for (i = 0; i < {len(run)}; ++i) {{")
                lines.append(f"    for (j = 0; j < {size}; ++j) {{ column[{at} + {size} * i + j] = {source}[j]; }}")
                lines.append("}")
            at += size * len(run)
    return "column", joined.shape[1], lines


def _grouped(terms: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    return [(x, list(group)) for x, group in groupby(terms, key=lambda term: str(term["x"]))]


def fir(f: Function) -> None:
    """Write a filter for each channel."""
    each, words = f.each, f.words
    taps = words.weights[each["weight"]][::-1]
    count, channels = taps.shape
    words.table(f"{f.own}_taps", taps, "[samples ago][channel]")
    source = f.read(each["x"], "d") if count > 1 else f.read(each["x"])
    f.finish(
        f"""
        int d, i;

        for (i = 0; i < {channels}; ++i) {{
            $acc sum = 0;

            for (d = 0; d < {count}; ++d) {{ sum += ($acc)$own_taps[d][i] * {source}[i]; }}
            {f.stored("sum")}
        }}
        """.replace("$own_taps", "${own}_taps"),
        f"{each['out']}: depthwise convolution",
    )


def power(f: Function) -> None:
    """Write I^2 + Q^2."""
    x = f.pointer(f.each["x"])
    f.finish(
        f"""
        const int64_t sum = (int64_t){x}[0] * {x}[0] + (int64_t){x}[1] * {x}[1];

        {f.stored("sum", "0")}
        """,
        "I^2 + Q^2",
    )


def magnitude(f: Function) -> None:
    """Write the root of I^2 + Q^2."""
    x = f.pointer(f.each["x"])
    f.words.helpers.add("root")
    f.finish(
        f"""
        const int64_t sum = (int64_t){x}[0] * {x}[0] + (int64_t){x}[1] * {x}[1];

        {f.stored(f"root(sum * ((int64_t)1 << {2 * f.each['extra']}))", "0")}
        """,
        "root of I^2 + Q^2",
    )


def multiply(f: Function) -> None:
    """Write a product by channel, plus a tensor."""
    each, words = f.each, f.words
    rows = words.size(each["out"])
    a, b = (f"{f.pointer(each[key])}[{'i' if words.size(each[key]) > 1 else '0'}]" for key in ("a", "b"))
    added = ""
    if each.get("add"):
        left = f.shifts("left", each["left"])
        added = f" + ($acc){f.pointer(each['add'])}[i] * (($acc)1 << {left})"
    f.finish(
        f"""
        int i;

        for (i = 0; i < {rows}; ++i) {{
            const $acc sum = ($acc){a} * {b}{added};

            {f.stored("sum")}
        }}
        """,
        f"{each['out']}: product by channel",
    )


def blend(f: Function) -> None:
    """Write a + z (b - a), b one sample old."""
    each, words = f.each, f.words
    z, a, b = f.pointer(each["x"]), f.pointer(each["a"]), f.pointer(each["b"], 1)
    f.finish(
        f"""
        int i;

        for (i = 0; i < {words.size(each["out"])}; ++i) {{
            const int64_t change = (int64_t){b}[i] - {a}[i];
            const int64_t sum = (int64_t){a}[i] * ((int64_t)1 << {each["left"]}) + {z}[i] * change;

            {f.stored("sum")}
        }}
        """,
        f"{each['out']}: a + z (b - a)",
    )


def relu(f: Function) -> None:
    """Write max(x, 0)."""
    x = f.pointer(f.each["x"])
    f.finish(
        f"""
        int i;

        for (i = 0; i < {f.words.size(f.each["out"])}; ++i) {{
            const int64_t sum = {x}[i] > 0 ? {x}[i] : 0;

            {f.stored("sum")}
        }}
        """
    )


def table(f: Function) -> None:
    """Write a function by its table."""
    each, words = f.each, f.words
    x, points, position = f.pointer(each["x"]), words.points(each["table"]), each["position"]
    words.helpers.add("lookup")
    count = len(words.weights[each["table"]])
    mirror = "0" if each["odd"] else f"(int64_t)1 << {WEIGHT_FRACTION + position}"
    f.finish(
        f"""
        int i;

        for (i = 0; i < {words.size(each["out"])}; ++i) {{
            const int64_t value = lookup({points}, {count}, {position}, {mirror}, {x}[i]);

            {f.stored("value")}
        }}
        """,
        f"{each['out']}: {each['table']} by table",
    )


def attention(f: Function) -> None:
    """Write windowed attention over the distances of each head that ever had a weight."""
    each, words = f.each, f.words
    H, D = each["heads"], words.size(each["out"])
    E, kept = D // H, [len(distances) for distances in each["distances"]]
    most = max(kept)
    bias = np.zeros((H, most), np.int64)
    for head, distances in enumerate(each["distances"]):
        bias[head, : kept[head]] = words.weights[each["bias"]][head, distances]
    words.table(f"{f.own}_bias", bias, "of the scores, by head and kept distance")
    distance, count = "i", str(most)
    if any(distances != list(range(most)) for distances in each["distances"]):
        padded = np.array([[*distances, *[0] * (most - len(distances))] for distances in each["distances"]])
        words.table(f"{f.own}_distances", padded, "of the keys that have a weight [samples ago]")
        distance = f"{f.own}_distances[head][i]"
    if min(kept) < most:
        words.table(f"{f.own}_kept", np.array(kept), "how many they are")
        count = f"{f.own}_kept[head]"
    words.points("exp2")
    words.helpers |= {"exp2_negative", "divide"}
    q, k, v = f.pointer(each["q"]), f.read(each["k"], distance), f.read(each["v"], distance)
    if words.ring(each["k"]) == 0:
        q, k, v = f.pointer(each["q"]), f.pointer(each["k"]), f.pointer(each["v"])
    left = f.shifts("left", each["left"], f"head * {E} + e")
    scaled = "sums[e]" if left == "0" else f"sums[e] * ((int64_t)1 << {left})"
    shift = f.shifts("score_shift", plain(np.array(each["score_shift"])), "head")
    f.finish(
        f"""
        int head, i, e;

        for (head = 0; head < {H}; ++head) {{
            const {words.type_of(each["q"])} *query = {q} + head * {E};
            int64_t scores[{most}], sums[{E}], largest = -((int64_t)1 << {SCORE_BITS - 1}), total = 0;

            for (i = 0; i < {count}; ++i) {{
                const {words.type_of(each["k"])} *key = {k} + head * {E};
                int64_t sum = ${{own}}_bias[head][i];

                for (e = 0; e < {E}; ++e) {{ sum += (int64_t)query[e] * key[e]; }}
                scores[i] = saturate(rescale(sum, {shift}), {SCORE_BITS});
                largest = scores[i] > largest ? scores[i] : largest;
            }}
            for (e = 0; e < {E}; ++e) {{ sums[e] = 0; }}
            for (i = 0; i < {count}; ++i) {{
                const {words.type_of(each["v"])} *value = {v} + head * {E};
                const int64_t weight = exp2_negative(largest - scores[i]);

                total += weight;
                for (e = 0; e < {E}; ++e) {{ sums[e] += weight * value[e]; }}
            }}
            for (e = 0; e < {E}; ++e) {{
                {f.stored(f"divide({scaled}, total)", f"head * {E} + e")}
            }}
        }}
        """,
        f"{each['out']}: attention to {kept} samples, by head",
    )


def taps(f: Function) -> None:
    """Write a filter with complex taps that change from sample to sample."""
    each, words = f.each, f.words
    count, delay = each["count"], each["delay"]
    x = f.read(each["x"], f"k + {delay}" if delay else "k")
    bias = words.weights[each["bias"]] if each["bias"] else np.zeros(2, np.int64)
    pointers, sums = [f"const {words.type_of(each['x'])} *z = {x};"], []
    for tensor, name, sign in ((each["gain"], "taps", 1), (each["image"], "conjugate", -1)):
        if not tensor:
            continue
        re, im = f"(int64_t){name}[k]", f"(int64_t){name}[{count} + k]"
        pointers.append(f"const {words.type_of(tensor)} *{name} = {f.read(tensor, 'k')};")
        sums.append(f"sums[0] += {re} * z[0] {'-' if sign > 0 else '+'} {im} * z[1];")
        sums.append(f"sums[1] += {im} * z[0] {'+' if sign > 0 else '-'} {re} * z[1];")
    body = [
        f"int64_t sums[2] = {{{int(bias[0])}, {int(bias[1])}}};", "int i, k;", "",
        f"for (k = 0; k < {count}; ++k) {{", *(f"    {line}" for line in pointers), "",
        *(f"    {line}" for line in sums), "}", f"for (i = 0; i < 2; ++i) {{ {f.stored('sums[i]')} }}",
    ]  # fmt: skip
    f.finish("\n".join(body), f"{each['out']}: filter of {count} complex taps")


def limit(f: Function) -> None:
    """Write the peak limit."""
    each, words = f.each, f.words
    x, extra = f.pointer(each["x"]), each["extra"]
    words.helpers |= {"root", "divide"}
    beyond = each["beyond"] ** 2
    f.finish(
        f"""
        const int64_t square = (int64_t){x}[0] * {x}[0] + (int64_t){x}[1] * {x}[1];
        int64_t size = root(square * ((int64_t)1 << {2 * extra})), scaled;
        int i;

        size = size > 1 ? size : 1;
        for (i = 0; i < 2; ++i) {{
            scaled = square > INT64_C({beyond}) ? divide({x}[i] * INT64_C({each["limit"] << extra}), size)
                : {x}[i] * ((int64_t)1 << {each["left"]});
            {f.stored("scaled")}
        }}
        """,
        "samples beyond the peak are scaled back to it",
    )


OPERATIONS: dict[str, Callable[[Function], None]] = {
    "linear": linear,
    "fir": fir,
    "power": power,
    "magnitude": magnitude,
    "multiply": multiply,
    "blend": blend,
    "relu": relu,
    "table": table,
    "attention": attention,
    "taps": taps,
    "limit": limit,
}
