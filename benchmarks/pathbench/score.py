"""Judging the trials: what the rules said, what a fault cost, whether it left a trace, and when it could be seen."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Protocol

import numpy as np

from benchmarks.pathbench.cells import CELL_OF, STEPS
from benchmarks.pathbench.faults import FAULT_OF, Fault
from benchmarks.pathbench.logs import prefix
from benchmarks.pathbench.trace import departs, traces
from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.rules.engine import SEVERITIES, Finding
from dpdrun.rules.facts.run import RunFacts

SILENCE_DB = 0.0  # a run that diverged, or ended worse than predicting nothing, counts as this
COSTS_DB = 0.5  # a fault that costs less did no harm
TIMES = 2.0  # the loss shows a fault when it is so many times that of the healthy twin
LOOKS = 25  # live: the rules are asked every so many steps
SMOOTH = 15  # steps; the loss of a few batches shows nothing


class Kept(Protocol):
    """Where logs are: `logs.Logs`."""

    def facts(self, name: str) -> RunFacts: ...


def wilson(hits: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """Interval of a share, 95 % (Wilson 1927); (0, 1) of no trials."""
    if not trials:
        return 0.0, 1.0
    share = hits / trials
    middle = share + z * z / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return max(0.0, (middle - half) / (1 + z * z / trials)), min(1.0, (middle + half) / (1 + z * z / trials))


@dataclass(frozen=True)
class Judged:
    """One trial with its log.

    Attributes:
        name: `cell/kind/variant/seed`.
        val_db: best validation NMSE [dB].
        facts: from the packed log.
    """

    name: str
    val_db: float
    facts: RunFacts

    @property
    def cell(self) -> str:
        return self.name.split("/")[0]

    @property
    def variant(self) -> str:
        return self.name.split("/")[2]

    @property
    def seed(self) -> str:
        return self.name.split("/")[3]

    @property
    def part(self) -> str:
        """`tune` or `score`."""
        return CELL_OF[self.cell].part

    @property
    def is_faulty(self) -> bool:
        return self.name.split("/")[1] == "faults"

    @property
    def fault(self) -> Fault:
        return FAULT_OF[self.variant]

    @cached_property
    def findings(self) -> list[Finding]:
        """What the rules say of the finished run."""
        return diagnose_facts(self.facts).findings

    @cached_property
    def live(self) -> list[tuple[int, list[Finding]]]:
        """What they say every LOOKS steps while it goes on, as (step, findings)."""
        last = self.facts.step[-1] if self.facts.step else 0
        looks = range(LOOKS, last + LOOKS, LOOKS)
        return [(min(step, last), diagnose_facts(prefix(self.facts, step)).findings) for step in looks]

    def reaches(self, severity: str) -> bool:
        """Whether the finished run has a finding of this severity or a worse one."""
        return any(_reaches(each, severity) for each in self.findings)

    def reaches_live(self, severity: str) -> bool:
        """Whether it ever had one."""
        return any(_reaches(each, severity) for _, found in self.live for each in found)


def _reaches(finding: Finding, severity: str) -> bool:
    return SEVERITIES.index(finding.severity) >= SEVERITIES.index(severity)


def judged(results: Mapping[str, Any], logs: Kept) -> list[Judged]:
    """All trials that are measured."""
    out = []
    for name, result in sorted(results.items()):
        score = result["val_nmse_db"]
        diverged = result["ended"] == "diverged"
        value = SILENCE_DB if score is None or diverged else min(score, SILENCE_DB)
        out.append(Judged(name, value, logs.facts(name)))
    return out


@dataclass(frozen=True)
class Case:
    """A faulty trial beside its healthy twins.

    Attributes:
        trial: with the fault.
        twin: the healthy run of the same cell and seed that it is compared with.
        traces: names of what differs from all such runs of the cell by more than they differ (`trace.departs`).
        scatter_db: standard deviation of the scores of all such runs of the cell [dB].
    """

    trial: Judged
    twin: Judged
    traces: tuple[str, ...] = ()
    scatter_db: float = 0.0

    @property
    def cost_db(self) -> float:
        """What the fault costs in validation NMSE [dB]."""
        return self.trial.val_db - self.twin.val_db

    @property
    def is_harmful(self) -> bool:
        """Whether it costs something that is no accident of the seed."""
        return self.cost_db >= max(COSTS_DB, 2 * self.scatter_db)

    @property
    def is_revealed(self) -> bool:
        """Whether there is something to find: a cost or a trace. The rules are not asked."""
        return self.is_harmful or bool(self.traces)

    def names_it(self, finding: Finding) -> bool:
        """Whether a finding is a right one. An info finding is enough where the fault did no harm."""
        fault = self.trial.fault
        enough = "warning" if self.is_harmful and not fault.info_is_right else "info"
        return finding.code in fault.codes and _reaches(finding, enough)

    @property
    def is_named(self) -> bool:
        return any(self.names_it(finding) for finding in self.trial.findings)

    @property
    def found_at(self) -> int | None:
        """Step at which the rules, asked every LOOKS steps, first named it; None: only afterwards, or never."""
        return next((step for step, found in self.trial.live if any(map(self.names_it, found))), None)

    @property
    def shown_at(self) -> int | None:
        """Step from which the loss is TIMES that of the twin, as a median over SMOOTH steps; None: never."""
        return shown_at(self.trial.facts.loss, self.twin.facts.loss)

    @property
    def lead(self) -> int | None:
        """Steps from the finding to where the loss shows it; negative: it came later. None where one of them never."""
        if self.found_at is None or self.shown_at is None:
            return None
        return self.shown_at - self.found_at


def shown_at(loss: Sequence[float], healthy: Sequence[float]) -> int | None:
    """First step (from 1) at which the median loss of the last SMOOTH steps is TIMES the healthy one; nan is above."""
    for end in range(SMOOTH, min(len(loss), len(healthy)) + 1):
        recent = [value if math.isfinite(value) else math.inf for value in loss[end - SMOOTH : end]]
        if statistics.median(recent) > TIMES * statistics.median(healthy[end - SMOOTH : end]):
            return end
    if loss and len(loss) < len(healthy) and not math.isfinite(loss[-1]):
        return len(loss)  # it ended there
    return None


def cases(trials: Iterable[Judged]) -> list[Case]:
    """Every faulty trial that has its twin."""
    everything = list(trials)
    healthy: dict[tuple[str, str], dict[str, Judged]] = {}  # by cell and variant, by seed
    for each in everything:
        if not each.is_faulty:
            healthy.setdefault((each.cell, each.variant), {})[each.seed] = each

    @cache
    def usual(cell: str, variant: str) -> tuple[list[dict[str, float]], float]:
        twins = healthy[cell, variant].values()
        scatter = statistics.stdev(each.val_db for each in twins) if len(twins) > 1 else 0.0
        return [traces(each.facts) for each in twins], scatter

    out = []
    for each in everything:
        twin = healthy.get((each.cell, each.fault.twin), {}).get(each.seed) if each.is_faulty else None
        if twin is not None:
            others, scatter = usual(each.cell, each.fault.twin)
            out.append(Case(each, twin, tuple(departs(traces(each.facts), others)), scatter))
    return out


def median_or_none(values: Iterable[float | None]) -> float | None:
    """Median of what is known."""
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


assert STEPS % LOOKS == 0
