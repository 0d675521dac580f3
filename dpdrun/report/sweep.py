"""A sweep on the terminal: its points with means over seeds, its front, and what the search gained over the rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from dpdrun.recipe.describe import text_of
from dpdrun.recipe.yaml12 import parse
from dpdrun.report.layout import numbers_table
from dpdrun.report.numbers import duration

Json = Mapping[str, Any]
TITLES = {
    "val_nmse_db": "val NMSE\n[dB]", "val_objective_db": "val objective\n[dB]", "parameters": "para-\nmeters",
    "macs_per_sample": "MAC/\nsample", "seconds": "time\n[s]",
}  # fmt: skip
STYLE = {"finished": "", "running": "green", "pending": "dim", "failed": "red", "pruned": "yellow"}
MOST_REASONS = 8
PADDING = 2  # that a table is cut for where its columns just fit
LONGEST = 24  # characters of a value in a table


def sweep_view(content: Json, *, width: int, most: int | None = None, state: str = "") -> RenderableType:
    """Return the table of a sweep, best points first, with what there is to say about it.

    Args:
        content: of sweep.json.
        width: of the terminal [columns]; where it is narrow, costs are left out.
        most: rows of the table; None = all.
        state: what is being done, for the head.
    """
    counts = content["trials"]
    decided = sum(counts[name] for name in ("finished", "failed", "pruned"))
    parts = [f"{counts[name]} {name}" for name in ("running", "failed", "pruned") if counts[name]]
    head = f"sweep {content['name']}: {decided} of {sum(counts.values())} trials done" + (
        f" ({', '.join(parts)})" if parts else "")  # fmt: skip
    lines: list[RenderableType] = [Text(head + (f", {state}" if state else ""), "bold")]
    ordered = ordered_points(content)
    names = columns_of(content)
    tables = [_table(content, ordered[:most], names[:end]) for end in range(len(names), 0, -1)]
    measured = Console(width=1000)
    lines.append(next((each for each in tables if measured.measure(each).maximum + PADDING <= width), tables[-1]))
    if most is not None and len(ordered) > most:
        lines.append(Text(f"and {len(ordered) - most} more", "dim"))
    lines += [Text(f"point {each['number']}: {each['status']}: {each['reason']}", STYLE[each["status"]])
              for each in ordered if each["reason"]][:MOST_REASONS]  # fmt: skip
    lines += [Text(line, "dim") for line in left_out_lines(content)]
    if sentence := gain_sentence(content):
        lines.append(Text(sentence, "bold"))
    return Group(*lines)


def ordered_points(content: Json) -> list[Json]:
    """Return the points, the best first; those without a score in their own order after them."""
    first = content["objectives"][0]
    scored = [each for each in content["points"] if first in each["objectives"]]
    rest = [each for each in content["points"] if first not in each["objectives"]]
    active = sorted(rest, key=lambda each: ("running", "pending", "failed", "pruned", "finished").index(each["status"]))
    return sorted(scored, key=lambda each: float(each["objectives"][first]["mean"])) + active


def _table(content: Json, points: Sequence[Json], names: Sequence[str]) -> Table:
    keys = list(content["over"])
    tested = any(each["test_db"] for each in content["points"])
    titles = [TITLES[name] for name in names] + (["test\n[dB]"] if tested else [])
    table = numbers_table("point", *(short(key) for key in keys), *titles, "", left=1)
    texts, base = [value_texts(content, key) for key in keys], base_name(content)
    for each in points:
        values = [text[each["number"]] for text in texts]
        cells = [mean_text(each["objectives"].get(name), name) for name in names]
        if tested:
            cells.append(mean_text(each["test_db"], "test"))
        number = f"{each['number']}{'*' if each['on_front'] else ''}{f' {base}' if each['rules'] else ''}"
        style = "bold" if each["on_front"] else STYLE[each["status"]]
        table.add_row(number, *values, *cells, progress_text(each), style=style)
    return table


def columns_of(content: Json) -> list[str]:
    """Return the objectives to show: those of the sweep, then the costs."""
    return list(dict.fromkeys([*content["objectives"], "parameters", "seconds"]))


def short(key: str) -> str:
    """Return the last part of a dotted key."""
    return key.rpartition(".")[2]


def value_texts(content: Json, key: str) -> list[str]:
    """Return the value of a swept field at each point, short enough for a table; of sections, what differs."""
    values = [each["values"].get(key) for each in content["points"]]
    written = dict.fromkeys(value for value in values if isinstance(value, str) and value.startswith("{"))
    sections = {value: _section(value) for value in written}
    differences = {value: _difference(each, list(sections.values())) for value, each in sections.items()}
    return [(isinstance(value, str) and differences.get(value)) or _value_text(value) for value in values]


def _section(text: str) -> dict[str, str]:
    root, _ = parse(text, "")
    plain = None if root is None else root.plain()
    return {name: text_of(value) for name, value in plain.items()} if isinstance(plain, dict) else {}


def _difference(section: dict[str, str], others: Sequence[dict[str, str]]) -> str:
    """Return the kind of a section, and its fields that differ from those of others of this kind."""
    alike = [each for each in others if each.get("kind") == section.get("kind")]
    parts = [f"{name} {value}" for name, value in section.items() if any(each.get(name) != value for each in alike)]
    return ", ".join([*([section["kind"]] if "kind" in section else []), *parts])


def _value_text(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else text_of(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def config_texts(content: Json) -> list[str]:
    """Return the swept fields of each point in one line."""
    columns = [[f"{short(key)} {text}" for text in value_texts(content, key)] for key in content["over"]]
    return [", ".join(column[number] for column in columns) for number in range(len(content["points"]))]


def mean_text(mean: Json | None, name: str) -> str:
    """Return a mean, with half the width of its interval where there is one."""
    if mean is None:
        return "-"
    if name in ("parameters", "macs_per_sample"):
        return f"{mean['mean']:,.0f}"
    digits = 1 if name == "seconds" else 2
    half = "" if mean["high"] is None or name == "seconds" else f" +-{mean['high'] - mean['mean']:.2f}"
    return f"{mean['mean']:.{digits}f}{half}"


def progress_text(point: Json) -> str:
    """Return how far a point is: nothing when it is finished."""
    if point["status"] == "finished":
        return ""
    if point["status"] != "running":
        return str(point["status"])
    done = sum(each["status"] == "finished" for each in point["trials"])
    running = [each for each in point["trials"] if each["status"] == "running" and each.get("total_steps")]
    steps = f", step {running[0]['step']:,}/{running[0]['total_steps']:,}" if running else ""
    return f"{done}/{len(point['trials'])} seeds{steps}"


def left_out_lines(content: Json) -> list[str]:
    """Return what was left out, a line for each reason."""
    by_reason: dict[str, list[str]] = {}
    for each in content["left_out"]:
        config = ", ".join(f"{short(key)} {value}" for key, value in each["config"].items()) or "the recipe"
        by_reason.setdefault(each["reason"].partition("\n")[0], []).append(config)
    lines = [
        f"left out: {configs[0]}{f' and {len(configs) - 1} more' if configs[1:] else ''}: {reason}"
        for reason, configs in by_reason.items()
    ]
    return lines[:MOST_REASONS] + ([f"and {len(lines) - MOST_REASONS} more reasons"] if lines[MOST_REASONS:] else [])


def base_name(content: Json) -> str:
    """Return what all others are compared with: the rules, or the recipe where no swept field takes `auto`."""
    return "rules" if any(each["config"] for each in content["points"] if each["rules"]) else "recipe"


def gain_sentence(content: Json) -> str:
    """Return what the search gained over the rules or the recipe; empty before the sweep is over."""
    gain = content["gain"]
    if gain is None or content["trials"]["pending"] or content["trials"]["running"]:
        return ""
    cost, base = f"for {hours_text(content['core_hours'])}", base_name(content)
    if gain["best"] == gain["rules"]:
        return f"the search found nothing better than the {base} (point {gain['rules']}) {cost}"
    split, found = ("test", gain["test"]) if gain.get("test") else ("val", gain["val"])
    if found is None:
        return ""
    if found["low"] is None:
        interval = "one seed: no interval"
    else:
        unsure = "" if found["low"] > 0 else ", which includes 0"
        interval = f"95 % interval {found['low']:.2f} to {found['high']:.2f} dB over {found['seeds']} seeds{unsure}"
    chosen = f" (chosen on val: {gain['val']['mean']:.2f} dB)" if split == "test" and gain.get("val") else ""
    return (
        f"the search gained {found['mean']:.2f} dB on {split} ({interval}) over the {base} {cost}{chosen}: "
        f"point {gain['best']} against point {gain['rules']}"
    )


def hours_text(hours: float) -> str:
    """Return core-hours; of a short sweep as time."""
    return f"{hours:.2f} core-hours" if hours >= 0.05 else f"{duration(hours * 3600)} of a core"


def trial_line(content: Json, trial_id: str) -> str:
    """Return one line about a trial that is decided: its point, seed, scores or the reason why it has none."""
    point, trial = next(
        (point, trial) for point in content["points"] for trial in point["trials"] if trial["id"] == trial_id
    )
    first = content["objectives"][0]
    config = config_texts(content)[point["number"]]
    what = f"{first} {trial[first]:.2f}" if trial.get(first) is not None else f"{trial['status']}: {trial['reason']}"
    base = f" ({base_name(content)})" if point["rules"] else ""
    return f"point {point['number']}{base}, seed {trial['seed']}: {config}: {what}"
