"""Diagnose a run folder, another program's log, or a prediction: facts -> rules -> findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from dpdrun.diagnosis.agreement import RATE, agreed
from dpdrun.diagnosis.logs.log import TrainingLog
from dpdrun.errors import RunError
from dpdrun.plan.plan import Plan
from dpdrun.recipe.fields import OFF
from dpdrun.rules.engine import SEVERITIES, Finding, Skipped, all_rules, evaluate_rules
from dpdrun.rules.facts.plan import PlanFacts, kind_of
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.facts.signal import SignalFacts
from dpdrun.rules.lr_law import swept_lr
from dpdrun.run.files import is_there
from dpdrun.run.folder import RunFolder
from dpdrun.run.metrics import Metrics, read_metrics
from dpdrun.run.scores import WITH_PAST, chosen, validation_db

SCHEMA_VERSION = 1

TOO_LITTLE: Literal["too little to judge"] = "too little to judge"
COURSE = ("LS202", "LS204", "LS205", "EV201", "EV205")  # rules that judge how the loss, or its validation, developed
LEAST_LINES = 8  # of a loss, for the least demanding of them

Verdict = Literal["unknown", "too little to judge", "healthy", "warning", "error"]


@dataclass(frozen=True)
class Diagnosis:
    """The verdict of the diagnose rules on one run.

    Attributes:
        verdict: the worst severity among the findings; info leaves a run healthy. Unknown where no rule could be
            evaluated: a run without a logged step is not a healthy one. Too little to judge where none could that
            judges the course of the loss: what the others checked is sound, and says little.
        findings: worst first, then by the step where they began.
        healthy: codes of the rules that found nothing.
        skipped: rules that could not be evaluated, with the reason.
        facts: the input of the rules.
        log: the source of the facts where it is not a run folder.
    """

    verdict: Verdict
    findings: list[Finding]
    healthy: list[str]
    skipped: list[Skipped]
    facts: RunFacts
    log: TrainingLog | None = None

    @property
    def is_of_files(self) -> bool:
        """Return whether this is about a prediction and its target, without a run."""
        return self.facts.signal is not None and self.facts.kind is None and self.log is None

    @property
    def would_help(self) -> str:
        """What a run has to log before it can be judged, most useful first; empty where it was judged."""
        if self.verdict != TOO_LITTLE:
            return ""
        from dpdrun.diagnosis.logs.programs import DPDRUN, PROGRAMS

        program = PROGRAMS[self.log.program] if self.log else DPDRUN
        if self.log and "loss" in self.log.absent:
            return f"the loss: {self.log.absent['loss']}"
        if not self.facts.loss:
            return f"the loss: {program.see_loss}" + (" or name its column (--map loss=COLUMN)" if self.log else "")
        lines = len(self.facts.loss)
        if lines < LEAST_LINES:
            more = f" ({program.more})" if program.more else ""
            return f"more lines with a loss: there are {lines}, {LEAST_LINES} are needed{more}"
        return f"a validation loss: {program.score}"

    def to_json(self) -> dict[str, Any]:
        """Return the stable machine-readable form (findings.json, `dpdrun diagnose --format json`)."""
        return {
            "schema_version": SCHEMA_VERSION,
            "verdict": self.verdict,
            "findings": [finding.to_json() for finding in self.findings],
            "healthy": list(self.healthy),
            "skipped": [skip.to_json() for skip in self.skipped],
            **({"would_help": self.would_help} if self.would_help else {}),
            **({"log": self.log.to_json()} if self.log else {}),
            **({"signal": self.facts.signal.to_json()} if self.is_of_files and self.facts.signal else {}),
        }

    def reaches(self, severity: Literal["warning", "error"]) -> bool:
        """Return whether some finding is at least this severe, as `--fail-on` requires.

        Raises:
            RunError: nothing could be checked. A gate must not let a run pass because it is empty; without `--fail-on`,
                `dpdrun diagnose` shows the verdict `unknown` and exits with 0.
        """
        if self.verdict == "unknown":
            raise RunError("--fail-on: nothing in this run could be checked yet")
        return any(SEVERITIES.index(finding.severity) >= SEVERITIES.index(severity) for finding in self.findings)


def diagnose(path: Path) -> Diagnosis:
    """Diagnose a run folder, finished or still being written. Raises RunError when it cannot be read.

    A gmp is fitted in one step and logs none; its verdict comes from report.json alone.
    """
    folder = RunFolder.open(path)
    plan = Plan.from_json(folder.read_json(folder.plan))
    report = folder.read_json(folder.report) if folder.report.is_file() else {}
    metrics = Metrics() if plan.recipe.model.kind == "gmp" else read_metrics(path)
    this = diagnose_facts(facts_of_run(metrics, plan, report))
    return replace(this, findings=agreed(this.findings, rate=this.facts.top_lr, given=_rate_of_lint(plan)))


def diagnose_trained(folder: RunFolder, *, was_finished: bool) -> Diagnosis | None:
    """Diagnose a run that `train` has returned from, and write its findings.json; None of a fit, which logs no steps.

    The findings of a run that was finished before are left as they are.
    """
    if not folder.metrics.is_file():
        return None
    this = diagnose(folder.path)
    if not (was_finished and folder.findings.is_file()):
        folder.write_json(folder.findings, this.to_json())
    return this


def _rate_of_lint(plan: Plan) -> float | None:
    """Return the learning rate that `dpdrun lint --fix` would write into the recipe; None where it is sound."""
    rules = [rule for rule in all_rules().values() if rule.purpose == "check" and RATE in rule.about]
    profile = plan.recipe.rules
    outcome, _ = evaluate_rules([rule for rule in rules if rule.profile in (profile, "both")], planned_facts(plan))
    return next((finding.patch[RATE] for finding in outcome.findings if RATE in finding.patch), None)


def diagnose_any(path: Path, maps: Sequence[str] = ()) -> Diagnosis:
    """Diagnose a run folder, or another program's log.

    Args:
        path: a run folder or its metrics.jsonl; or a log file, a folder with one (`diagnosis.logs`), or `-`: the log is
            on standard input.
        maps: meanings of the columns of a log, from the user (`logs.names.parse_map`).

    Raises:
        RunError, DataError: it is neither, or cannot be read.
    """
    folder = path.parent if path.name == "metrics.jsonl" else path
    is_run = is_there(folder / "plan.json")
    if is_run and maps:
        raise RunError(f"{path}: this is a run folder of dpdrun, whose columns are known: omit --map")
    if is_run or not (is_there(path) or path.suffix or str(path) == "-"):
        return diagnose(folder)  # whose error names the runs nearby
    from dpdrun.diagnosis.logs.formats import read_log
    from dpdrun.diagnosis.logs.names import parse_map
    from dpdrun.diagnosis.logs.wording import findings_in_words_of, skipped_in_words_of

    facts, log = read_log(path, parse_map(maps))
    this = diagnose_facts(facts.without_overflows())
    findings = findings_in_words_of(log, facts, this.findings)
    skipped, silent = skipped_in_words_of(log, facts, this.skipped, this.healthy)
    return replace(this, findings=findings, skipped=skipped, healthy=silent, log=log)


def diagnose_files(prediction: Path, target: Path, x: Path | None = None) -> Diagnosis:
    """Diagnose a prediction against its target, and the model's input where a file has it, by the SG rules.

    Raises:
        DataError: a file cannot be used; see `diagnosis.signal.files`.
    """
    from dpdrun.diagnosis.signal.checks import signal_facts
    from dpdrun.diagnosis.signal.files import read_signal_pair  # loads numpy, which a run does not need

    pair = read_signal_pair(prediction, target, x)
    return diagnose_facts(RunFacts(signal=signal_facts(pair.target, pair.prediction, pair.x)), about="signal")


def diagnose_facts(facts: RunFacts, about: str | None = None) -> Diagnosis:
    """Evaluate the diagnose rules on the facts of one run: those of its training, or those that need `about`."""
    rules = [rule for rule in all_rules().values() if rule.purpose == "diagnose"]
    wanted = [rule for rule in rules if (about in rule.needs if about else "deployment" not in rule.needs)]
    outcome, _ = evaluate_rules(wanted, facts)
    findings = sorted(
        outcome.findings, key=lambda f: (-SEVERITIES.index(f.severity), f.step if f.step is not None else 0, f.code)
    )
    findings = agreed(findings, rate=facts.top_lr)
    worst = max((SEVERITIES.index(finding.severity) for finding in findings), default=0)
    verdicts: tuple[Verdict, ...] = ("healthy", "warning", "error")
    verdict: Verdict = verdicts[worst] if findings or outcome.silent else "unknown"
    judged = {*outcome.silent, *(finding.code for finding in findings)}
    if verdict == "healthy" and about is None and facts.kind != "gmp" and not judged & set(COURSE):
        verdict = TOO_LITTLE
    return Diagnosis(
        verdict,
        findings,
        sorted(outcome.silent),
        sorted(outcome.skipped, key=lambda s: s.code),
        facts,
    )


def facts_of_run(metrics: Metrics, plan: Plan, report: dict[str, Any] | None = None) -> RunFacts:
    """Return the facts of a run from the content of its folder.

    Args:
        metrics: steps, evaluations, scorings of `optim.refine`; a step that was written twice (by a resumed run) counts
            once, as it was last. After adaptations the peak learning rate is the lowered one.
        plan: of the run.
        report: report.json, with baselines and noise floor of the validation split; empty while the run trains.
    """
    steps = sorted({line["step"]: line for line in metrics.steps}.values(), key=lambda line: line["step"])
    evals = sorted({line["step"]: line for line in metrics.evals}.values(), key=lambda line: line["step"])
    applied = [line for line in steps if not line.get("skipped")]
    factor = metrics.lr_factor(plan.total_steps + 1)
    solved = _nmse(report, "splits", "val") if plan.recipe.model.kind == "gmp" else None
    if solved is not None:
        evals = [{"step": 0, "val_nmse_db": solved}]
    try:
        return RunFacts(
            step=[line["step"] for line in applied],
            lr=[line["lr"] for line in applied],
            lr_planned=[line["lr_planned"] for line in applied],
            loss=[line["loss"] for line in applied],
            grad_norm=[line["grad_norm"] for line in applied],
            clip_norm=[line["clip_norm"] for line in applied],
            clipped=[line["clipped"] for line in applied],
            eval_step=[line["step"] for line in evals],
            eval_nmse_db=[validation_db(line) for line in evals],
            refined_nmse_db=[validation_db(line) for line in metrics.refinements],
            kind=kind_of(plan.recipe.model),
            total_steps=plan.total_steps,
            warmup_steps=plan.warmup_steps,
            peak_lr=plan.lr * factor,
            skipped=[line["step"] for line in steps if line.get("skipped")],
            loss_scale=steps[-1].get("loss_scale") if steps else None,
            adapted=[(line["step"], line["to_step"]) for line in metrics.adapts],
            lr_factor=factor,
            weight_decay=plan.weight_decay,
            schedule=plan.schedule,
            batch=plan.batch_size,
            one_tap_db=_nmse(report, "baselines", "one_tap", "val"),
            gmp_db=_nmse(report, "baselines", "gmp", "val"),
            floor_db=_number(report, "floor", "nmse_db"),
            linearized=_linearized(report),
            ilc_db=_ilc_db(report),
            pa_db=_number(chosen(_at(report, "pa")), "nmse_db", "val"),
            settings=_settings(plan),
            loss_is_nmse=_loss_is_nmse(plan),
            swept_lr=swept_lr(planned_facts(plan)),
            signal=SignalFacts.from_json(report.get("signal") if report else None),
            **_optimization(plan),
            **_parts(steps),
            **_ranks(applied),
        )
    except KeyError as exc:
        raise RunError(f"metrics.jsonl: a line has no {exc}; it was not written by dpdrun train") from exc


def planned_facts(plan: Plan) -> PlanFacts:
    """Return the facts of a plan for the rules about recipes, every value concrete."""
    facts = PlanFacts.of_recipe(plan.recipe, frames=plan.frames_per_epoch)
    return replace(facts, batch=plan.batch_size, max_steps=plan.total_steps)


def _loss_is_nmse(plan: Plan) -> bool:
    """Return whether the loss is the NMSE that validation reports: not where a predistorter learns another pair."""
    recipe = plan.recipe
    return recipe.train.loss == "time" and (recipe.task == "pa" or recipe.dpd.learning == "direct")


def _optimization(plan: Plan) -> dict[str, Any]:
    """Return the facts about the optimizer and the length of the run."""
    length = plan.recipe.train
    return {
        "eps": plan.eps,
        "beta2": plan.beta2,
        "max_steps": length.max_steps if isinstance(length.max_steps, int) else None,
        "epochs": length.epochs if isinstance(length.epochs, float) and length.max_steps == OFF else None,
        "steps_per_epoch": plan.frames_per_epoch / plan.batch_size if plan.batch_size else None,
    }


def _parts(steps: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the facts about the layers of the model, from the steps at which they were logged."""
    logged = [line for line in steps if "group_updates" in line]
    if not logged:
        return {}
    sizes = {part: int(count) for part, count in logged[0]["group_sizes"].items()}

    def column(key: str) -> dict[str, list[float]]:
        return {part: [float(line[key].get(part, "nan")) for line in logged] for part in sizes}

    still: dict[str, list[int]] = {}
    for line in logged:
        for name in line.get("still", ()):
            still.setdefault(name, []).append(line["step"])
    return {
        "parameters": sum(sizes.values()),
        "group_step": [line["step"] for line in logged],
        "group_grad": column("group_norms"),
        "group_weight": column("group_weights"),
        "group_update": column("group_updates"),
        "group_size": sizes,
        "still": still,
    }


def _ranks(steps: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the facts about the ranks; a resumed run may have had another number of them before."""
    gathered = [line for line in steps if "rank_losses" in line]
    gathered = [line for line in gathered if len(line["rank_losses"]) == len(gathered[-1]["rank_losses"])]
    checked = [line for line in gathered if "rank_checksums" in line]

    def rows(key: str) -> list[list[float]]:
        return [[float(value) for value in line[key]] for line in gathered]

    return {
        "rank_step": [line["step"] for line in gathered],
        "rank_loss": rows("rank_losses"),
        "rank_norm": rows("rank_grad_norms"),
        "rank_reduced": rows("rank_reduced_norms"),
        "checksum_step": [line["step"] for line in checked],
        "rank_checksum": [line["rank_checksums"] for line in checked],
    }


LINEARIZED = {
    "NMSE": ("nmse_db",), "in-band error": ("in_band_db",), "ACLR left": ("aclr_left_db",),
    "ACLR right": ("aclr_right_db",), "EVM": ("linearity", "evm_db"),
    "AM/AM spread": ("linearity", "am_am_spread_db"),
}  # fmt: skip


def _settings(plan: Plan) -> dict[str, str]:
    """Return the settings that advice may name."""
    model = {f"model.{name}": str(value) for name, value in plan.recipe.model.model_dump().items()}
    train = plan.recipe.train
    return model | {"train.eval_on": train.eval_on, "train.init_from": train.init_from}


def _linearized(report: Any) -> dict[str, tuple[float, float]]:
    """Return the scores of a predistorter that reports show, without it and with it."""
    if not report or not report.get("simulated"):
        return {}
    sides = [chosen(_at(report, *path)) for path in (("baselines", "one_tap", "val"), ("splits", "val"))]
    found = {name: tuple(_number(side, *path) for side in sides) for name, path in LINEARIZED.items()}
    return {name: (a, b) for name, (a, b) in found.items() if a is not None and b is not None}


def _ilc_db(report: Any) -> float | None:
    """Return the error that iterative learning control leaves on the worse split."""
    found = [_number(report, "ilc", split, "within_reach_db") for split in ("train", "val")]
    return max((each for each in found if each is not None), default=None)


def _at(node: Any, *path: str) -> dict[str, Any]:
    """Return what is inside nested dicts, an empty one where any part of the path is missing."""
    for name in path:
        node = node.get(name) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else {}


def _nmse(report: Any, *path: str) -> float | None:
    """Return the NMSE that choices are made by, of a split or a baseline of a report."""
    with_past = _number(report, *path, WITH_PAST, "nmse_db")
    return _number(report, *path, "nmse_db") if with_past is None else with_past


def _number(node: Any, *path: str) -> float | None:
    """Return a number inside nested dicts, None where any part of the path is missing."""
    for name in path:
        node = node.get(name) if isinstance(node, dict) else None
    return float(node) if isinstance(node, int | float) else None
