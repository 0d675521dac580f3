"""A diagnosis on the terminal: verdict, findings with advice, gradient norm, what is healthy, what was skipped."""

from __future__ import annotations

import math

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from dpdrun.diagnosis import Diagnosis
from dpdrun.recipe.patch import render
from dpdrun.report.chart import log_chart
from dpdrun.rules.catalogue import Finding, all_rules

STYLE = {
    "unknown": "bold yellow",
    "healthy": "bold green",
    "info": "cyan",
    "warning": "bold yellow",
    "error": "bold red",
}


def diagnosis_view(this: Diagnosis, title: str) -> RenderableType:
    """Everything `dpdrun diagnose` says about one run."""
    parts: list[RenderableType] = [verdict_line(this, title)]
    for finding in this.findings:
        parts += ["", *_finding(finding)]
    parts += ["", *_chart(this), ""]
    if this.healthy:
        parts.append(Text.assemble(("looked at and healthy: ", "green"), ", ".join(_named(c) for c in this.healthy)))
    parts += [Text(f"not judged: {_named(skip.code)}: {skip.reason}", "dim") for skip in this.skipped]
    return Group(*parts)


def verdict_line(this: Diagnosis, title: str) -> Text:
    """`runs/x: 1 warning, 2 notes; 600 of 600 steps, best validation NMSE -38.60 dB`; `healthy` is said in a word."""
    counts = [(name, sum(f.severity == name for f in this.findings)) for name in ("error", "warning", "info")]
    words = {"error": "error", "warning": "warning", "info": "note"}
    said = [(f"{n} {words[name]}{'s' if n > 1 else ''}", STYLE[name]) for name, n in counts if n]
    if this.verdict == "unknown":
        said = [("unknown", STYLE["unknown"]), ("nothing could be judged yet", "")]
    elif this.verdict == "healthy":
        said = [("healthy", STYLE["healthy"]), *(said or [("nothing to report", "")])]
    line = Text(f"{title}: ")
    for number, (words_, style) in enumerate(said):
        between = ": " if number == 1 and this.verdict in ("unknown", "healthy") else ", "
        line.append(between if number else "").append(words_, style)
    facts = this.facts
    done = f"{facts.step[-1] if facts.step else 0} of {facts.total_steps} steps"
    line.append("; a least-squares fit" if facts.kind == "gmp" else f"; {done}")
    if facts.best_nmse_db is not None:
        best = "validation" if facts.kind == "gmp" else "best validation"
        line.append(f", {best} NMSE {facts.best_nmse_db:.2f} dB")
    return line


def _finding(finding: Finding) -> list[RenderableType]:
    head = Text.assemble((finding.severity, STYLE[finding.severity]), f" {finding.code} {finding.slug}")
    if finding.step is not None:
        head.append(f" (from step {finding.step})", "dim")
    lines: list[RenderableType] = [head, Padding(Text(finding.message), (0, 0, 0, 2))]
    if finding.advice:
        lines.append(Padding(Text.assemble(("advice: ", "bold"), finding.advice), (0, 0, 0, 2)))
    if finding.patch:
        change = ", ".join(f"{key}: {render(value)}" for key, value in finding.patch.items())
        lines.append(Padding(Text(f"in the recipe: {change}", "dim"), (0, 0, 0, 2)))
    return lines


def _chart(this: Diagnosis) -> list[RenderableType]:
    facts = this.facts
    if facts.kind == "gmp":
        return [Text("a least-squares fit has no steps and no gradient norms", "dim")]
    if not facts.step:
        return [Text("no optimizer step was logged", "dim")]
    clip = facts.clip_norm[-1]
    marks = {f.step: f.code for f in reversed(this.findings) if f.step is not None and f.severity != "info"}
    title = "gradient norm before clipping, logarithmic"
    title += (
        f"; clipped at {clip:g} in {sum(facts.clipped) / len(facts.clipped):.1%} of the steps"
        if math.isfinite(clip)
        else ""
    )
    return [Text(title, "bold"), *map(Text, log_chart(facts.grad_norm, facts.step, line=clip, marks=marks))]


def _named(code: str) -> str:
    return f"{code} {all_rules()[code].slug}"
