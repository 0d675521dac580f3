"""Choose the number of torch threads of a run from the work of a step; the same recipe and cores give the same number.

torch splits an operation over its threads only if there is enough of it, and each split costs a synchronization. The
operations of small models take tens of microseconds: a second thread saves nothing there, and on a core that others
use too, each operation waits for the thread that is not running. So the choice is that of `benchmarks/threads`: as many
threads as get a fair amount of arithmetic in an average operation. It is not timed at the start: a measurement on a
machine with other load would give another number each time, and with it other rounding.
"""

from __future__ import annotations

from dataclasses import replace

from dpdrun.distributed.cores import available_threads
from dpdrun.plan.cost import COSTS, SCALES_WITH, MachineSpeed, workload_of
from dpdrun.plan.plan import Plan, Provenance
from dpdrun.recipe.fields import AUTO
from dpdrun.recipe.schema import GRUModel, ModelSection, TransformerModel

KEY = "train.threads"
# Where the costs were fitted (benchmarks/effort). Fixed, so that the choice does not depend on a measurement.
REFERENCE = MachineSpeed(matrix=2.14e-11, memory=9.2e-11, call=3.55e-7)
# torch operations of a step, forward, backward and optimizer, counted with TorchDispatchMode: a Transformer has a fixed
# number and one for each layer; a GRU one for each layer and sample of a frame.
TRANSFORMER_CALLS, TRANSFORMER_CALLS_PER_LAYER, GRU_CALLS_PER_SAMPLE = 166, 180, 46
GRAIN_S = 50e-6  # arithmetic in an average operation that is worth a thread (benchmarks/threads)


def with_threads(plan: Plan, pa: ModelSection | None = None, *, processes: int = 1) -> Plan:
    """Return the plan with `train.threads` as a number, and its reason.

    Args:
        plan: any.
        pa: the `model` section of a PA model that every step goes through.
        processes: that share a batch.
    """
    if plan.recipe.train.threads != AUTO:
        return plan
    most = available_threads(processes)
    grain = seconds_per_call(plan, pa, processes=processes)
    count = max(1, min(most, int(grain / GRAIN_S)))
    why = f"{grain * 1e6:.2g} us of arithmetic in an average operation of a step; {most} usable"
    if not grain:
        why = f"not known for kind {plan.recipe.model.kind}; set train.threads to use more of the {most} usable"
    if not plan.total_steps:
        why = "least squares, without steps"
    train = plan.recipe.train.model_copy(update={"threads": count})
    origin = Provenance("default", None, why, None)
    return replace(
        plan,
        recipe=plan.recipe.model_copy(update={"train": train}),
        provenance=plan.provenance | {KEY: origin},
    )


def threads_to_train(plan: Plan) -> int:
    """Return the number of threads of a plan, chosen now if it holds none."""
    return int(with_threads(plan).recipe.train.threads)


def threads_to_predict(plan: Plan) -> int:
    """Return the threads to use with a model that was trained by a plan: as many as then, if there are so many cores.

    With the same number, `evaluate` gives the scores of the end of the training to the last bit.
    """
    return min(threads_to_train(plan), available_threads())


def seconds_per_call(plan: Plan, pa: ModelSection | None = None, *, processes: int = 1) -> float:
    """Return the arithmetic of an average torch operation of a step [s], on one core of the reference machine."""
    batch = max(1, plan.batch_size // plan.recipe.train.accumulate // processes)
    sections = [plan.recipe.model, *([pa] if pa is not None and plan.recipe.dpd.learning == "direct" else [])]
    sums = [_arithmetic_and_calls(section, batch, plan.frame) for section in sections]
    return sum(seconds for seconds, _ in sums) / sum(calls for _, calls in sums)


def _arithmetic_and_calls(model: ModelSection, batch: int, frame: int) -> tuple[float, float]:
    """Return the arithmetic of a pass and the update after it [s], and the number of torch operations."""
    if not isinstance(model, GRUModel | TransformerModel):
        return 0.0, 1.0  # a gmp: least squares, no step; or a plug-in model, whose operations are not known
    if isinstance(model, GRUModel):
        calls = GRU_CALLS_PER_SAMPLE * frame * model.layers
    else:
        calls = TRANSFORMER_CALLS + TRANSFORMER_CALLS_PER_LAYER * model.layers
        if model.window == "full":  # as many scores as `window` samples of context make
            model = model.model_copy(update={"window": max(1, frame // 2)})
    work, costs = workload_of(model, batch=batch, frame=frame, val_samples=1).step, COSTS[model.kind]["step"]
    units = {name: float(getattr(REFERENCE, SCALES_WITH[name])) for name in costs if SCALES_WITH[name] != "call"}
    return sum(work[name] * costs[name] * unit for name, unit in units.items()), calls
