"""Make a recipe concrete: every value decided, each with its origin and the reason.

The plan is written to plan.json before training begins and is all that training reads, so a run can be repeated,
resumed and audited without evaluating the rules again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from dpdrun import __version__
from dpdrun.errors import RecipeError, RunError, reason_of
from dpdrun.plan.cost import DownstreamPA, Estimate, MachineSpeed, estimate, samples_seen, size_of
from dpdrun.plan.digest import digest_of
from dpdrun.plan.measured import Initialization, Predistortion
from dpdrun.quantization.network import unsupported
from dpdrun.recipe import plugins
from dpdrun.recipe.conflicts import Conflict, check_length, conflicts, given_in, values_of
from dpdrun.recipe.fields import AUTO, OFF
from dpdrun.recipe.given import enter_of
from dpdrun.recipe.problems import first_problem
from dpdrun.recipe.recorded import recipe_as_recorded
from dpdrun.recipe.renamed import RENAMED, with_current_keys
from dpdrun.recipe.schema import (
    ADAMW,
    ModelSection,
    Recipe,
    Section,
    SourceFiles,
    TransformerModel,
)
from dpdrun.rules.advice import Advice, derivable, derive, unset
from dpdrun.rules.engine import Evidence, Finding
from dpdrun.rules.facts.plan import NAME_OF, PlanFacts
from dpdrun.rules.facts.words import PLUG_IN
from dpdrun.run.files import encode_numbers

SCHEMA_VERSION = 1
REFINE_PARAMETERS = 4_000  # of a model that optim.refine lm takes: minutes an iteration on a core

Count = Annotated[int, Field(ge=0, le=2**53)]  # more are exact in no float
_PLAIN: Mapping[str, Callable[[Any], Any]] = {"Count": int, "float": float, "str": str}  # fields of a plan, by type


class PlanError(RecipeError):
    """The completed recipe is impossible. `conflicts` holds (dotted key, message); `Loaded.error` finds their lines."""

    def __init__(self, found: list[Conflict]) -> None:
        super().__init__("\n".join(message for _, message in found))
        self.conflicts = found


@dataclass(frozen=True)
class Provenance:
    """Origin of one value: written by the user, set by a rule (its code), or the default of the schema."""

    origin: Literal["user", "rule", "default"]
    rule: str | None
    why: str
    evidence: Evidence | None


@dataclass(frozen=True)
class Plan:
    """A training job with every value decided. Steps are optimizer steps; lengths are samples.

    Attributes:
        recipe: no `auto` left but those of `data` and `dpd` (known once data are loaded), `train.compile` and
            `train.threads` (decided by the machine, `plan.threads`), `train.epochs` next to `train.max_steps`, and the
            optimizer of a gmp, which has none.
        provenance: by dotted key, every value of the recipe.
        total_steps: 0 for a gmp, which is fitted in closed form; the numbers below are then 0 as well.
        warmup_steps, weight_decay, checkpoint_every: 0 = off.
        clip_norm: inf = off.
        lr_end: share of the peak lr at the last step.
        warnings: findings of the rules that check a plan.
        predistortion: of task dpd, once the data and the PA model are known (`training.job.prepare_training`).
        init: with `train.init_from`, once its run has been read (likewise).
    """

    recipe: Recipe
    provenance: dict[str, Provenance]
    total_steps: Count
    warmup_steps: Count
    frames_per_epoch: Count
    frame: Count
    burn_in: Count
    batch_size: Count
    lr: float
    beta1: float
    beta2: float
    eps: float
    weight_decay: float
    clip_norm: float
    schedule: str
    lr_end: float
    eval_every: Count
    checkpoint_every: Count
    warnings: list[Finding]
    predistortion: Predistortion | None = None
    init: Initialization | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the content of plan.json; what is not finite, such as a norm that is not clipped, as "inf"."""
        content = {each.name: encode_numbers(getattr(self, each.name)) for each in fields(self)}
        content["recipe"] = self.recipe.model_dump(mode="json")
        for name in ("align", "resample_to_hz"):  # as before there were any, so that old runs keep their digests
            if content["recipe"]["data"][name] == OFF:
                del content["recipe"]["data"][name]
        for name in ("carriers", "channel_spacing_hz"):  # likewise, as before they could be written
            if content["recipe"]["data"][name] == AUTO:
                del content["recipe"]["data"][name]
        if self.recipe.optim.name == ADAMW:  # as before there were others
            del content["recipe"]["optim"]["name"]
        if self.recipe.quantization == OFF:  # likewise
            del content["recipe"]["quantization"]
        for name in ("init_from", "freeze"):  # likewise, as before there were any
            if content["recipe"]["train"][name] == OFF:
                del content["recipe"]["train"][name]
        content["provenance"] = {key: asdict(origin) for key, origin in self.provenance.items()}
        content["warnings"] = [finding.to_json() for finding in self.warnings]
        content["predistortion"] = None if self.predistortion is None else self.predistortion.to_json()
        del content["init"]
        if self.init is not None:
            content["init"] = self.init.to_json()
        return {"schema_version": SCHEMA_VERSION} | content

    @classmethod
    def from_json(cls, content: Mapping[str, Any], *, only_to_show: bool = False) -> Plan:
        """Read back plan.json.

        Args:
            content: of the file.
            only_to_show: a plug-in may be missing; what it brought stays as recorded, and no model can be built.

        Raises:
            RunError: it is of a later version, not a plan, or a plug-in is missing.
        """
        version = content.get("schema_version")
        if version != SCHEMA_VERSION:
            raise RunError(
                f"plan.json: schema_version is {version!r}, this dpdrun reads {SCHEMA_VERSION}; update dpdrun"
            )
        maker = content.get("dpdrun", "unknown")
        damaged = f"plan.json is damaged, or of another version of dpdrun (written by {maker}, this is {__version__}): "
        where = ""
        try:
            enter_of(content)
            if not only_to_show:
                plugins.require(content)
            where, recipe, absent = "recipe.", content.get("recipe"), plugins.missing(content)
            current = with_current_keys(recipe if isinstance(recipe, Mapping) else {})
            # by itself: `_content` was made once, and the kinds of a recipe become more where plug-ins are loaded
            read = recipe_as_recorded(current, absent) if absent else Recipe.model_validate(current)
            where = ""
            plan = _content().validate_python({**content, "recipe": read})
        except (plugins.MissingPluginError, plugins.PluginError):
            raise
        except ValidationError as exc:
            raise RunError(damaged + where + first_problem(exc)) from exc
        except Exception as exc:  # of a plug-in that is missing, or of its section
            raise RunError(damaged + reason_of(exc)) from exc
        origins = {RENAMED.get(key, key): origin for key, origin in plan.provenance.items()}
        return replace(plan, provenance={key: origin for key, origin in origins.items() if _holds(plan.recipe, key)})

    def at(self, *, data_source: str | SourceFiles, pa: str) -> Plan:
        """Return the plan with its capture and its PA run at other paths; its digest stays as it is."""
        data = self.recipe.data.model_copy(update={"source": data_source})
        return replace(self, recipe=self.recipe.model_copy(update={"data": data, "pa": pa}))

    def digest(self, data_sha256: str) -> str:
        """Return the sha256 of everything that decides the weights: the concrete values and the samples.

        Left out are paths (of the capture and of the PA run, whose hashes are in), the reasons for the values, how
        often checkpoints are written, and whether a finding warns or stops.
        """
        return digest_of(self.to_json(), data_sha256)


@cache
def _content() -> TypeAdapter[Plan]:
    """Return what checks the content of a plan.json: the types of a `Plan` and of all in it."""
    return TypeAdapter(Plan)


def _holds(section: Section, key: str) -> bool:
    """Return whether a section has a value at a dotted key, of an older or a damaged file."""
    name, _, rest = key.partition(".")
    values = dict(section)
    return name in values and (_holds(values[name], rest) if isinstance(values[name], Section) else not rest)


def _plain_fields() -> dict[str, Callable[[Any], Any]]:
    """Return the type of each number and word of a plan, by its name."""
    return {each.name: _PLAIN[str(each.type)] for each in fields(Plan) if each.type in _PLAIN}


def make_plan(recipe: Recipe, train_samples: int, *, given: Set[str] | None = None) -> Plan:
    """Return the plan of a recipe, every `auto` set by the rules.

    Args:
        recipe: as loaded.
        train_samples: I/Q samples of the training split.
        given: dotted keys that the user wrote; default: the fields that the recipe was built with.

    Raises:
        PlanError: a RecipeError; the completed recipe is impossible, does not fit the data, or a field is left open
            because all its rules are silent; the message names the field and what to write.
    """
    given = given_in(recipe) if given is None else given
    advice = derive(PlanFacts.of_recipe(recipe, train_samples), recipe.rules)
    trained = recipe.model.kind != "gmp"
    complete = fill(recipe, advice)
    _refuse(conflicts(complete, given) + check_length(complete, train_samples) + check_finish(complete, train_samples))
    _refuse(check_quantization(complete))
    if trained:
        _refuse(conflicts_of_open_fields(recipe, advice))
    _refuse([(key, finding.message + "; " + finding.advice) for finding in advice.warnings
             if finding.severity == "error" for key in finding.patch])  # fmt: skip
    numbers: dict[str, Any] = {  # each is the fact of its name
        name: kind(advice.facts.get("batch" if name == "batch_size" else name)) if trained else kind(0)
        for name, kind in _plain_fields().items()
        if name not in ("schedule", "lr_end")
    }
    return Plan(
        recipe=complete,
        provenance=provenance_of(complete, advice, given),
        schedule=advice.facts.schedule or "constant",
        lr_end=float(recipe.optim.lr_end),
        warnings=advice.warnings if trained else [],
        **numbers,
    )


def check_finish(recipe: Recipe, record_samples: int) -> list[Conflict]:
    """Return why `optim.refine: lm` is impossible for this model on records of `record_samples` samples, if it is."""
    model, found = recipe.model, []
    if recipe.optim.refine != "lm" or not isinstance(model, TransformerModel):
        return []
    count, seen = size_of(model).parameters, samples_seen(model) or 0
    if count > REFINE_PARAMETERS:
        found.append(
            f"optim.refine lm is for models of at most {REFINE_PARAMETERS:,} parameters: its time grows with the "
            f"square of their number; this one has {count:,}"
        )
    if seen > record_samples:
        found.append(
            f"optim.refine lm uses only samples with their complete past: an output of this model depends on {seen:,} "
            f"samples, but a record has {record_samples:,}; shorten model.window"
        )
    return [("optim.refine", message) for message in found]


def check_quantization(recipe: Recipe) -> list[Conflict]:
    """Return why a recipe with a `quantization` section has no fixed-point form, if it has none."""
    found = None if recipe.quantization == OFF else unsupported(recipe.model)
    return [] if found is None else [(found[0], f"the quantization section cannot be applied: {found[1]}")]


def estimate_of(
    plan: Plan, *, val_samples: int, pa: ModelSection | None = None, speed: MachineSpeed | None = None
) -> Estimate | None:
    """Estimate time and memory of a plan on this machine; None where there is no estimate (`dpdrun.plan.cost`).

    Args:
        plan: of any task.
        val_samples: length of the validation split.
        pa: of a predistorter, the `model` section of the PA model after it.
        speed: of this machine; measured if not given.
    """
    if not plan.total_steps:
        return None
    return estimate(
        plan.recipe.model,
        batch=plan.batch_size,
        frame=plan.frame,
        steps=plan.total_steps,
        scorings=-(-plan.total_steps // plan.eval_every),
        val_samples=val_samples,
        speed=speed,
        pa=None if pa is None else DownstreamPA(pa, in_steps=plan.recipe.dpd.learning == "direct"),
    )


def fill(recipe: Recipe, advice: Advice) -> Recipe:
    """Return the recipe with the rules' values in place of its autos, validated again by the schema."""
    content = recipe.model_dump()
    for key, opinion in advice.opinions.items():
        section, _, leaf = key.partition(".")
        content[section][leaf] = opinion.value
    try:
        return Recipe.model_validate(content)
    except ValidationError as exc:  # a rule set a value that the schema refuses: a bug; say which
        raise RecipeError(f"the rules made this recipe invalid: {exc}") from exc


def provenance_of(recipe: Recipe, advice: Advice, given: Set[str]) -> dict[str, Provenance]:
    """Return the origin of each value of a completed recipe, in the order of the schema."""
    estimated = "data.align" in given  # as auto: the values that have taken its place are not the user's
    found: dict[str, Provenance] = {}
    for key, value in values_of(recipe).items():
        opinion = advice.opinions.get(key)
        if opinion is not None:
            found[key] = Provenance("rule", opinion.rule, opinion.why, opinion.evidence)
        elif estimated and key.startswith("data.align."):
            found[key] = Provenance("default", None, "estimated on the training split", None)
        elif key in given and value != AUTO:
            found[key] = Provenance("user", None, "written in the recipe", None)
        else:
            found[key] = Provenance(
                "default", None, _AUTO_WHY.get(key, "default") if value == AUTO else "default", None
            )
    return found


_AUTO_WHY = {
    "data.sample_rate_hz": "as stated by the source",
    "data.bandwidth_hz": "as stated by the source",
    "data.carriers": "as stated by the source",
    "data.channel_spacing_hz": "channels border on each other",
    "data.input": "by its name in the file",
    "data.output": "by its name in the file",
    "data.columns": "as stated by the source",
    "data.cyclic": "detected in the data",
    "data.split": "as stated by the source, else 60/20/20 %",
    "data.split.guard": "determined when the data are split",
    "dpd.peak_limit": "the largest magnitude of the training input",
    "train.compile": "determined on the training machine",
    "train.threads": "determined on the training machine",
    "train.epochs": "train.max_steps sets the length",
}


def conflicts_of_open_fields(recipe: Recipe, advice: Advice) -> list[Conflict]:
    """Return the fields that no rule could set, as (dotted key, what to do)."""
    wanted = [key for key in derivable() if key != "train.epochs" or advice.facts.max_steps is None]
    of_plug_in = advice.facts.kind == PLUG_IN
    why_not = f"no rule covers kind {recipe.model.kind}, of a plug-in; write a value, or measure it: dpdrun probe"
    return [
        (
            key,
            f"{key}: auto, but {why_not}"
            if of_plug_in and key == "optim.lr"
            else f"{key}: auto, but no rule sets it for this job ({why}); write a value (rules: {recipe.rules})",
        )
        for key, why in unset(advice, wanted).items()
        if key in NAME_OF
    ]


def _refuse(found: list[Conflict]) -> None:
    if found:
        raise PlanError(found)
