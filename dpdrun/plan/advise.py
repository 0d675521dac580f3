"""Advise on a job: recommended values, findings at their lines, and an estimate of time and memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Any, cast

from pydantic import ValidationError

from dpdrun.errors import RecipeError
from dpdrun.plan.cost import Estimate, estimate, peak_mib
from dpdrun.plan.lint import LintFinding, fix, lint, locate_findings
from dpdrun.plan.probe_result import ProbeReading, merged, probed_facts
from dpdrun.plan.recommendation import Recommendation, recommend
from dpdrun.recipe.loader import Loaded
from dpdrun.recipe.schema import MAX_STEPS, GRUModel, ModelSection, TransformerModel
from dpdrun.rules.advice import RuleSet, derive
from dpdrun.rules.facts.plan import PlanFacts
from dpdrun.rules.facts.words import PLUG_IN
from dpdrun.rules.plan.sizing import LAYERS, SHORTEST_WINDOW, heads_for

if TYPE_CHECKING:
    from dpdrun.data.sizing import DataReading  # loads numpy


@dataclass(frozen=True)
class JobAdvice:
    """Everything that `dpdrun recommend` and `dpdrun probe` show.

    Attributes:
        recommendation: of a recipe: its warnings are `LintFinding`s.
        estimate: time and memory of the plan, from the probe where there was one; None where too little is known.
        no_estimate: why there is none; None also where nothing is trained step by step.
        data: what was read from the data of `--data`.
        probe: what a probe measured.
        after_fixes: findings that the fixes of the warnings would lead to, and that would be fixed as well.
    """

    recommendation: Recommendation
    estimate: Estimate | None
    no_estimate: str | None
    data: DataReading | None = None
    probe: ProbeReading | None = None
    after_fixes: tuple[LintFinding, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The stable machine-readable form (`dpdrun recommend --format json`)."""
        return self.recommendation.to_json() | {
            "estimate": None if self.estimate is None else self.estimate.to_json(),
            "no_estimate": self.no_estimate,
            "data": None if self.data is None else self.data.to_json(),
            "probe": None if self.probe is None else self.probe.to_json(),
            "after_fixes": [finding.to_json() for finding in self.after_fixes],
        }


def facts_of_kind(kind: str, **known: Any) -> PlanFacts:
    """Return the facts of a job that no recipe describes: what is known of it, and the defaults of a kind of model."""
    fields = TransformerModel.model_fields
    usual = ("conv", "skip", "residual_init") if kind == "transformer" else ()
    return PlanFacts(**{"kind": kind, **known, **{name: fields[name].default for name in usual}})


def advise(facts: PlanFacts, rules: RuleSet, data: DataReading | None = None) -> JobAdvice:
    """Advise on a job that no recipe describes.

    Args:
        facts: what is known of it.
        rules: which rules to evaluate.
        data: what was read from its data.

    Raises:
        RecipeError: the run would be absurdly long, or the window longer than the training split.
    """
    this = _recommend(facts if data is None else with_data(facts, data), rules)
    return JobAdvice(this, *_estimate(this, None, None), data)


def advise_on_recipe(
    loaded: Loaded,
    facts_of: Callable[[Loaded], PlanFacts],
    *,
    data: DataReading | None = None,
    probe: ProbeReading | None = None,
) -> JobAdvice:
    """Advise on a recipe.

    Args:
        loaded: the recipe.
        facts_of: facts of a recipe and its data, such as `lint.RecipeFacts`; called again for fixed versions of it.
        data: what was read from the data, in place of those facts.
        probe: what a probe of the recipe measured.

    Raises:
        RecipeError, DataError: as `advise`, and from `facts_of`.
    """

    def facts_with_data(recipe: Loaded) -> PlanFacts:
        return facts_of(recipe) if data is None else with_data(PlanFacts.of_recipe(recipe.recipe), data)

    facts, rules = facts_with_data(loaded), loaded.recipe.rules
    this = _recommend(facts, rules)
    if probe is not None:
        by_rules, measured = this, cast("dict[str, Any]", probed_facts(this, probe))
        this = merged(_recommend(replace(facts, **measured), rules), by_rules, probe)
    set_by_rules = {key for key, value in this.values.items() if value.rule is not None}
    this = replace(this, warnings=[*locate_findings(loaded, this.warnings, set_by_rules)])
    later = fix(loaded, lambda recipe: lint(recipe, facts_with_data(recipe)), unsafe=True).followed
    return JobAdvice(this, *_estimate(this, loaded.recipe.model, probe), data, probe, tuple(later))


def with_data(facts: PlanFacts, data: DataReading) -> PlanFacts:
    """Return the facts with what was read from the data."""
    return replace(
        facts,
        samples=data.train_samples,
        val_samples=data.val_samples,
        memory=data.near_memory or data.memory,
        ahead=data.ahead,
        polynomial_db=data.polynomial_db,
        noise_floor_db=data.floor_db,
    )


def _recommend(facts: PlanFacts, rules: RuleSet) -> Recommendation:
    this = recommend(facts, rules)
    if this.total_steps is not None and this.total_steps > MAX_STEPS:
        raise RecipeError(
            f"{this.facts.epochs:g} epochs of {this.facts.frames_per_epoch:g} frames are {this.total_steps:.1e} "
            f"optimizer steps; at most {MAX_STEPS:.0e} make sense: lower the epochs or the samples, or raise the batch "
            "size"
        )
    window, samples = facts.window, facts.samples
    if window is not None and samples is not None and samples < window < inf:
        raise RecipeError(
            f"a window of {window:g} samples is longer than the training split ({samples} samples); shorten it, or "
            "write full"
        )
    return this


def _estimate(
    this: Recommendation, model: ModelSection | None, probe: ProbeReading | None
) -> tuple[Estimate | None, str | None]:
    """Estimate time and memory of the plan, or say why that is not possible.

    Args:
        this: the recommended values.
        model: of the recipe; None where there is none: the facts then describe it.
        probe: measured times, in place of modelled ones.
    """
    if this.facts.kind == "gmp":  # fitted within seconds
        return None, None
    given = model is not None
    facts, assumed = (this.facts, "") if given else _with_usual_sizes(this)
    model = model or _model_of(facts)
    steps, samples = this.total_steps, facts.samples or (facts.frames or 0) * (facts.frame or 0)
    found = None
    if model is not None and steps and facts.batch is not None and facts.frame is not None and samples:
        scorings = -(-steps // (facts.eval_every or steps))
        if probe is not None:
            return _from_probe(probe, steps, scorings), None
        val = facts.val_samples or samples // 3  # the usual split is 60/20/20 %
        found = estimate(model, batch=facts.batch, frame=facts.frame, steps=steps, scorings=scorings, val_samples=val)
    if found is not None:
        return replace(found, assumed=assumed), None
    return None, _missing(this, given) if this.values else None


def _from_probe(probe: ProbeReading, steps: int, scorings: int) -> Estimate:
    on_cpu = probe.device.startswith("CPU")  # on a GPU the program itself takes none of its memory
    return Estimate(
        seconds=steps * probe.step_s + scorings * probe.score_s,
        step_s=probe.step_s,
        memory_mib=peak_mib(probe.peak_mib) if on_cpu else probe.peak_mib,
        machine=probe.device,
        basis="probe",
    )


def _missing(this: Recommendation, recipe: bool) -> str:
    """Say why there is no estimate."""
    facts = this.facts
    if facts.kind == "transformer" and facts.window == inf:
        return "full attention was never timed; `dpdrun probe` measures it on this machine"
    if facts.kind == PLUG_IN:
        return "kinds of plug-ins were never timed; `dpdrun probe` measures this one on this machine"
    needed = {
        "the amount of data": facts.samples or facts.frames,
        "the number of epochs": this.total_steps or facts.epochs,
        "train.batch_size": facts.batch,
    }
    if missing := [name for name, value in needed.items() if not value]:
        return f"needs {' and '.join(missing)}"
    return "needs train.frame" if recipe else "these sizes do not form a valid model"


def _with_usual_sizes(this: Recommendation) -> tuple[PlanFacts, str]:
    """Return the facts with missing sizes as our recipes have them, what follows from those, and their flags."""
    facts = this.facts
    if facts.kind != "transformer" or facts.d_model is None:
        return facts, ""
    usual = {"layers": LAYERS["transformer"], "heads": heads_for(facts.d_model), "window": SHORTEST_WINDOW}
    missing = {name: size for name, size in usual.items() if facts.get(name) is None}
    if not missing:
        return facts, ""
    filled = derive(replace(facts, **cast("dict[str, Any]", missing)), this.rules).facts
    return filled, " ".join(f"--{name} {size}" for name, size in missing.items())


def _model_of(facts: PlanFacts) -> ModelSection | None:
    """Return the `model` section that facts describe, None where a size is missing."""
    kind = GRUModel if facts.kind == "gru" else TransformerModel
    sizes = {name: facts.get(name) for name in kind.model_fields if hasattr(facts, name)}
    sizes = {name: value for name, value in sizes.items() if value is not None}
    if sizes.get("window") == inf:
        sizes |= {"window": "full", "positions": "sinusoidal"}
    try:
        return kind.model_validate(sizes)
    except ValidationError:
        return None
