"""A run folder -> facts -> findings: what is wrong with a run, what was found healthy, and what could not be judged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dpdrun.errors import RunError
from dpdrun.plan import Plan
from dpdrun.rules.catalogue import SEVERITIES, Finding, Skipped, all_rules, evaluate
from dpdrun.rules.facts import RunFacts
from dpdrun.runlog import Metrics, RunFolder, read_metrics

SCHEMA_VERSION = 1

Verdict = Literal["unknown", "healthy", "warning", "error"]


@dataclass(frozen=True)
class Diagnosis:
    """What the diagnose rules said about one run.

    Attributes:
        verdict: the worst severity among the findings; info findings leave a run healthy. Unknown where no rule could
            look: a run without a logged step is not a healthy one.
        findings: worst first, then by the step where they began.
        healthy: codes that looked and found nothing.
        skipped: rules that could not look, with the reason.
        facts: what the rules saw.
    """

    verdict: Verdict
    findings: list[Finding]
    healthy: list[str]
    skipped: list[Skipped]
    facts: RunFacts

    def to_json(self) -> dict[str, Any]:
        """The stable machine-readable form (findings.json, `dpdrun diagnose --format json`)."""
        return {
            "schema_version": SCHEMA_VERSION,
            "verdict": self.verdict,
            "findings": [finding.to_json() for finding in self.findings],
            "healthy": list(self.healthy),
            "skipped": [skip.to_json() for skip in self.skipped],
        }

    def reaches(self, severity: Literal["warning", "error"]) -> bool:
        """Whether some finding is at least this severe; what `--fail-on` asks.

        Raises:
            RunError: nothing could be judged. A gate must not let a run pass because it holds nothing; without
                `--fail-on`, `dpdrun diagnose` shows the verdict `unknown` and exits with 0.
        """
        if self.verdict == "unknown":
            raise RunError("--fail-on has no answer: nothing of this run could be judged yet")
        return any(SEVERITIES.index(finding.severity) >= SEVERITIES.index(severity) for finding in self.findings)


def diagnose(path: Path) -> Diagnosis:
    """Diagnose a run folder, finished or still being written. Raises RunError when it cannot be read.

    A gmp is fitted in one step and logs none; its verdict comes from report.json alone.
    """
    folder = RunFolder.open(path)
    plan = Plan.from_json(folder.read_json(folder.plan))
    report = folder.read_json(folder.report) if folder.report.is_file() else {}
    metrics = Metrics() if plan.recipe.model.kind == "gmp" else read_metrics(path)
    return diagnose_facts(facts_of_run(metrics, plan, report))


def diagnose_facts(facts: RunFacts) -> Diagnosis:
    """Run every diagnose rule on the facts of one run."""
    outcome, _ = evaluate([rule for rule in all_rules().values() if rule.purpose == "diagnose"], facts)
    findings = sorted(
        outcome.findings, key=lambda f: (-SEVERITIES.index(f.severity), f.step if f.step is not None else 0, f.code)
    )
    worst = max((SEVERITIES.index(finding.severity) for finding in findings), default=0)
    verdicts: tuple[Verdict, ...] = ("healthy", "warning", "error")
    looked = bool(findings or outcome.silent)
    return Diagnosis(
        verdicts[worst] if looked else "unknown",
        findings,
        sorted(outcome.silent),
        sorted(outcome.skipped, key=lambda s: s.code),
        facts,
    )


def facts_of_run(metrics: Metrics, plan: Plan, report: dict[str, Any] | None = None) -> RunFacts:
    """The facts of a run from what its folder holds.

    Args:
        metrics: steps and evaluations; a step that was written twice (by a resumed run) counts once, as it was last.
        plan: of the run.
        report: report.json, or an empty dict while the run is going on. Baselines and floor of the validation part are
            read from it.
    """
    steps = sorted({line["step"]: line for line in metrics.steps}.values(), key=lambda line: line["step"])
    evals = sorted({line["step"]: line for line in metrics.evals}.values(), key=lambda line: line["step"])
    solved = _number(report, "splits", "val", "nmse_db") if plan.recipe.model.kind == "gmp" else None
    if solved is not None:
        evals = [{"step": 0, "val_nmse_db": solved}]
    try:
        return RunFacts(
            step=[line["step"] for line in steps],
            lr=[line["lr"] for line in steps],
            lr_planned=[line["lr_planned"] for line in steps],
            loss=[line["loss"] for line in steps],
            grad_norm=[line["grad_norm"] for line in steps],
            clip_norm=[line["clip_norm"] for line in steps],
            clipped=[line["clipped"] for line in steps],
            eval_step=[line["step"] for line in evals],
            eval_nmse_db=[line["val_nmse_db"] for line in evals],
            kind=plan.recipe.model.kind,
            total_steps=plan.total_steps,
            warmup_steps=plan.warmup_steps,
            peak_lr=plan.lr,
            weight_decay=plan.weight_decay,
            schedule=plan.schedule,
            batch=plan.batch_size,
            one_tap_db=_number(report, "baselines", "one_tap", "val", "nmse_db"),
            gmp_db=_number(report, "baselines", "gmp", "val", "nmse_db"),
            floor_db=_number(report, "floor", "nmse_db"),
        )
    except KeyError as exc:
        raise RunError(f"metrics.jsonl: a line of this run has no {exc}; it was not written by dpdrun train") from exc


def _number(node: Any, *path: str) -> float | None:
    """A number inside nested dicts, None where any part of the path is missing."""
    for name in path:
        node = node.get(name) if isinstance(node, dict) else None
    return float(node) if isinstance(node, int | float) else None
