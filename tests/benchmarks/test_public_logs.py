"""The corpus of public logs, and what no report on any of its logs may say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks.public_logs import corpus, report
from benchmarks.public_logs.corpus import PublicLog, unpacked
from dpdrun.diagnosis.diagnose import Diagnosis, diagnose_any
from dpdrun.errors import DpdrunError
from dpdrun.rules.engine import all_rules

# What one report never says: that the loss never fell and that it rose, that it overfits and should train on, ...
EXCLUSIVE = (
    ("LS204", "LS202"), ("LS204", "LS205"), ("LS204", "LS206"), ("LS204", "LR201"), ("LS208", "LR201"),
    ("EV205", "LR201"), ("EV206", "LR201"), ("EV205", "EV206"), ("EV206", "LS204"), ("LS205", "LS206"),
)  # fmt: skip
OF_OUR_RUNS = re.compile(r"\boptim\.|\btrain\.precision|dpdrun data|best\.safetensors")
LOWER = re.compile(r"\blower (?:the )?(?:learning[ _]rate|optim\.lr|--lr|lr)\b|\bhalve the\b")
HIGHER = re.compile(r"\bhigher (?:learning )?rate|\braise (?:the )?(?:learning[ _]rate|--lr|lr)\b")
RATE = re.compile(r"(?:learning[ _]rate|\blr\b)[^.;,]{0,30}? to (\d[\d.e+-]*\d|\d)")


@pytest.fixture(scope="module")
def reports() -> list[tuple[PublicLog, Diagnosis]]:
    found = []
    with unpacked() as logs:
        for log in logs:
            try:
                found.append((log, diagnose_any(log.path)))
            except DpdrunError:
                continue
    return found


def test_the_corpus_is_complete() -> None:
    with unpacked() as logs:
        names = [log.name for log in logs]
        assert len(set(names)) == len(names) >= 599
        assert {log.label for log in logs} == set(report.LABELS)
        assert all(bool(log.kinds) for log in logs if log.label == "sick")


def test_logs_are_held_out_and_then_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def labels(*names: str) -> Path:
        folder = tmp_path / "-".join(names)
        for name in names:
            (folder / name).mkdir(parents=True)
            (folder / name / "log.csv").write_text("loss\n1\n")
            (folder / name / "label.json").write_text(json.dumps({
                "name": name, "source": name, "program": "own", "file": "log.csv", "label": "healthy", "kinds": [],
                "reason": "",
            }))  # fmt: skip
        return folder

    monkeypatch.setattr(corpus, "ARCHIVE", tmp_path / "logs.tar.xz")
    (tmp_path / "empty").mkdir()
    corpus.pack(tmp_path / "empty")
    assert corpus.add(labels("a", "b"), "heldout") == 2
    corpus.open_held_out("fourth")
    corpus.add(labels("c"), "heldout")
    with pytest.raises(SystemExit, match="already in the corpus: a"):
        corpus.add(labels("a"), "heldout")
    with unpacked() as logs:
        assert [(log.half, log.name) for log in logs] == [("tune", "a"), ("tune", "b"), ("heldout", "c")]
        assert json.loads((logs[0].path.parent / "label.json").read_text())["scored_blind"] == "fourth"


def test_the_codes_of_each_kind_are_rules() -> None:
    assert {code for codes in report.RIGHT.values() for code in codes.split()} <= set(all_rules())


def test_a_report_gives_one_value_for_a_setting(reports: list[tuple[PublicLog, Diagnosis]]) -> None:
    for log, diagnosis in reports:
        values: dict[str, set[str]] = {}
        for finding in diagnosis.findings:
            for key, value in finding.patch.items():
                values.setdefault(key, set()).add(f"{value:g}" if isinstance(value, float) else str(value))
            for rate in RATE.findall(finding.advice):
                values.setdefault("a rate in words", set()).add(f"{float(rate):g}")
        assert all(len(each) == 1 for each in values.values()), (log.name, values)


def test_a_report_does_not_contradict_itself(reports: list[tuple[PublicLog, Diagnosis]]) -> None:
    for log, diagnosis in reports:
        codes = {finding.code for finding in diagnosis.findings}
        assert not [pair for pair in EXCLUSIVE if set(pair) <= codes], log.name
        advice = " ".join(finding.advice for finding in diagnosis.findings)
        assert not (LOWER.search(advice) and HIGHER.search(advice)), (log.name, advice)
        loud = {finding.severity for finding in diagnosis.findings} - {"info"}
        assert (diagnosis.verdict in ("warning", "error")) is bool(loud), log.name


def test_a_report_speaks_of_the_program_that_wrote_the_log(reports: list[tuple[PublicLog, Diagnosis]]) -> None:
    for log, diagnosis in reports:
        for finding in diagnosis.findings:
            assert not OF_OUR_RUNS.search(finding.message + finding.advice), (log.name, finding.code)
            if diagnosis.facts.loss_unit in ("nats", "bits"):
                assert " dB" not in finding.message, (log.name, finding.code)
