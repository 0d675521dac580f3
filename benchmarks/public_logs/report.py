"""Tables for docs/results.md: how many sick logs are found with the right kind, how many healthy ones get an alarm."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.common import markdown, write_table
from benchmarks.pathbench.report import share

Result = Mapping[str, Any]
NAMES = {"tune": "tuned on", "heldout": "held out"}

# Which findings are right about which kind. A log may be sick in several ways: one right finding is enough.
RIGHT = {
    "never_learns": "LS204 LS206 LS210 LS212 EV206 EV211 GN204 GN206 UP202 SC202 SC204",
    "diverges": "LS201 LS202 LS205 LS206 LS207 LR202 WU202 SK205 LS212",
    "overfits": "EV201 EV205 EV206 EV208 EV209 EV210",
    "mismatch": "EV202 EV203 EV204 EV205 EV206 EV208 EV209 EV210 EV211",
    "lr_floor": "SC202 SC204",
    "nonfinite": "LS201 LS209 LS211 EV207 GN206 PR202",
    "spikes": "SK201 SK202 SK203 SK204 SK205 LS202 LS205 LS207 EV202",
    "schedule": "SC201 SC202 SC203 SC204 SC205",
    "norm_clipped": "CL201 CL203 GN203",
    "norm_grows": "GN201 GN202 GN207 CL203",
    "two_writers": "LG201 LG202",
}
INFO_IS_ENOUGH = {"norm_clipped"}  # a remark about the log, not about the run


def alarms(result: Result) -> list[str]:
    """Return the codes of our warnings and errors."""
    return [code for code, severity in result.get("findings", []) if severity != "info"]


def is_named(result: Result) -> bool:
    """Return whether a sick log has a finding of one of its kinds; of kind "other", any finding."""
    codes = {code for kind in result["kinds"] for code in RIGHT.get(kind, "").split()}
    if set(result["kinds"]) <= INFO_IS_ENOUGH:
        return any(code in codes for code, _ in result.get("findings", []))
    if "other" in result["kinds"] and alarms(result):
        return True
    return bool(codes & set(alarms(result)))


def write(results: Sequence[Result]) -> None:
    """Write the tables into docs/results.md."""
    write_table("public-logs-summary", _summary(results))
    held_out = [each for each in results if each["half"] == "heldout"]
    write_table("public-logs-kinds", _kinds(held_out or results))


def show(results: Sequence[Result]) -> None:
    """Print the tables, and each log that we are wrong about."""
    print(_summary(results), _kinds(results), sep="\n\n")
    for each in results:
        said = " ".join(f"{code}:{severity}" for code, severity in each.get("findings", [])) or each.get("message", "")
        if each["label"] == "sick" and not is_named(each):
            print(f"missed       {each['name']}: {', '.join(each['kinds'])}; {each['verdict']}: {said}")
        elif each["label"] == "healthy" and alarms(each):
            print(f"false alarm  {each['name']}: {said}")
        elif each["verdict"] == "not read":
            print(f"not read     {each['name']}: {said}")


def _summary(results: Sequence[Result]) -> str:
    programs: dict[str, tuple[Callable[[Result], bool], Callable[[Result], bool]]] = {
        "dpdrun, right kind": (is_named, lambda each: bool(alarms(each))),
        "dpdrun, any alarm": (lambda each: bool(alarms(each)), lambda each: bool(alarms(each))),
    }
    for name in sorted({name for each in results for name in each["alarms"]}):

        def alarmed(each: Result, name: str = name) -> bool:
            return bool(each["alarms"].get(name))

        programs[f"{name}, any alarm"] = (alarmed, alarmed)
    rows = []
    for half, title in NAMES.items():
        labelled = {label: [e for e in results if e["half"] == half and e["label"] == label] for label in LABELS}
        if not labelled["sick"]:
            continue
        for program, (found, alarmed_by) in programs.items():
            name = program.partition(",")[0]
            asked = {label: [e for e in each if name == "dpdrun" or name in e["alarms"]]
                     for label, each in labelled.items()}  # fmt: skip
            if not asked["sick"]:
                continue
            counts = (
                share(sum(map(found, asked["sick"])), len(asked["sick"])),
                share(sum(map(alarmed_by, asked["healthy"])), len(asked["healthy"])),
                f"{sum(map(alarmed_by, asked['undecidable']))} of {len(asked['undecidable'])}",
            )
            rows.append([f"{program}, {title}", *counts])
    return markdown(["program, half", "sick logs found", "alarms on healthy logs", "alarms on undecidable"], rows)


LABELS = ("sick", "healthy", "undecidable")


def _kinds(results: Sequence[Result]) -> str:
    names = sorted({name for each in results for name in each["alarms"]})
    rows = []
    for kind in (*RIGHT, "other"):
        sick = [each for each in results if each["label"] == "sick" and kind in each["kinds"]]
        if sick:
            theirs = [f"{sum(bool(each['alarms'].get(name)) for each in sick)}" for name in names]
            rows.append([kind.replace("_", " "), f"{len(sick)}", f"{sum(map(is_named, sick))}", *theirs])
    return markdown(["kind", "sick logs", "dpdrun", *names], rows)
