"""What rules say about a log, in words of the log: its steps, the unit of its loss, its columns, its program."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from dpdrun.diagnosis.logs.facts import FOR_RUNS, skip_reason
from dpdrun.diagnosis.logs.log import TrainingLog
from dpdrun.diagnosis.logs.programs import PROGRAMS, in_words_of
from dpdrun.diagnosis.logs.units import without_db
from dpdrun.rules.engine import Finding, Skipped, all_rules
from dpdrun.rules.facts.run import RunFacts

OF_OUR_RUNS = frozenset({"AD201"})  # silent on a log, which cannot show what it is about
STEP_WORD = re.compile(r"\bstep(s?)\b")
NUMBERED_STEP = re.compile(r"\bstep(s?)(?= \d)")
LINES = re.compile(
    r"outside the valid range: the number of (?:logged steps|steps (after the warmup)) is (\d+), the rule covers (.+)"
)
PROGRESS = re.compile(r"outside the valid range: the progress of the run is ([\d.]+), the rule covers .+")


def findings_in_words_of(log: TrainingLog, facts: RunFacts, findings: Sequence[Finding]) -> list[Finding]:
    """Return findings without decibels of a loss that is no power, of epochs or lines, with the program's settings."""
    power = facts.loss_unit == "power" or facts.loss_is_nmse or bool(facts.eval_nmse_db)
    program = PROGRAMS[log.program]
    worded = [each if power else replace(each, message=without_db(each.message)) for each in findings]
    if log.unit != "step":  # rules speak of steps; here a step is an epoch or a line of the log
        worded = [_in_unit(each, log.unit) for each in worded]
    return [in_words_of(program, each) for each in worded]


def _in_unit(finding: Finding, unit: str) -> Finding:
    """Return a finding that speaks of epochs or lines; in advice a step may be one of the program, unless numbered."""
    message = STEP_WORD.sub(rf"{unit}\1", finding.message)
    return replace(finding, message=message, advice=NUMBERED_STEP.sub(rf"{unit}\1", finding.advice))


def skipped_in_words_of(
    log: TrainingLog, facts: RunFacts, skipped: Sequence[Skipped], silent: Sequence[str]
) -> tuple[list[Skipped], list[str]]:
    """Return which rules were skipped, for reasons that speak of the log, and which checked it and found nothing."""
    ours = [Skipped(FOR_RUNS, code) for code in silent if code in OF_OUR_RUNS]
    worded = [replace(skip, reason=_reason(log, facts, skip)) for skip in skipped]
    checked = [code for code in silent if code not in OF_OUR_RUNS]
    return sorted([*worded, *ours], key=lambda skip: skip.code), checked


def _reason(log: TrainingLog, facts: RunFacts, skip: Skipped) -> str:
    if skip.reason.startswith("needs "):
        missing = [name for name in all_rules()[skip.code].needs if facts.get(name) is None]
        return skip_reason(missing, log) or skip.reason
    if match := LINES.fullmatch(skip.reason):
        after, count, least = match.groups()
        return f"needs {least.removesuffix(' and above')} lines{f' {after}' if after else ''}, there are {count}"
    if match := PROGRESS.fullmatch(skip.reason):
        return f"checked at the end of a run; this one is {float(match.group(1)):.0%} done"
    return skip.reason
