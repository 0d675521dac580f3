"""Logs of other programs whose fault is known: numbers of public logs, or built after public reports of faults.

`cases.tar.xz` holds a folder a case, in the format of the program that wrote it. Nothing in it but numbers.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from dpdrun.diagnosis.diagnose import Diagnosis, diagnose_any

ARCHIVE = Path(__file__).with_name("cases.tar.xz")
OPENDPD = "29-opendpd-history"

# What has to be said of each, as the worst severity and the code of the kind.
SICK = {
    "01-never-learns-ln4": ("error", "LS204"),
    "02-lr-5-diverges-in-10-steps": ("error", "LS206"),
    "03-overfits-5-evals": ("warning", "EV205"),
    "04-overfits-11-evals-called-healthy": ("warning", "EV205"),
    "05-overfits-several-eval-sets": ("warning", "EV205"),
    "06-restart-on-other-data-benign-nan": ("warning", "SC203"),
    "09-ce-diverges-2.4-to-7": ("warning", "LS205"),
    "10-grad-norm-zero": ("error", "GN206"),
    "11-lr-cosine-stepped-8x": ("warning", "SC203"),
    "12-resume-lr-restarts": ("warning", "SC203"),
    "15-loss-zero-no-grad-norm": ("error", "LS209"),
    "16-eval-loss-nan": ("error", "EV207"),
    "17-overfit-and-raise-lr-in-one-report": ("warning", "EV205"),
    "18-grpo-norm-explodes": ("error", "GN207"),
    "19-regression-predicts-mean": ("error", "LS204"),
    "20-loss-only-jump-1000x": ("warning", "SK201"),
    "21-keras-never-learns-ln2": ("error", "LS204"),
    "24-llamafactory-two-writers": ("warning", "LG201"),
    "27-grad-norm-1e-9-flat-loss": ("error", "GN206"),
    "28-loss-only-spikes": ("warning", "SK201"),
    f"{OPENDPD}/PA_lr_collapsed.csv": ("warning", "SC204"),
    f"{OPENDPD}/PA_transformer_frames_vs_record.csv": ("error", "EV203"),
    f"{OPENDPD}/PA_transformer_stuck.csv": ("error", "LS204"),
}
# Nothing to act on; some with a remark.
SOUND = {
    "07-learned-by-heart-told-to-raise-lr": "LS208",
    "08-finished-run-read-as-91-percent": None,
    "13-amp-skips-called-error": "PR202",
    "14-norm-logged-after-clipping": "GN203",
    "22-lightning-grad_2_norm_step": "GN207",
    "23-llamafactory-current_steps": None,
    f"{OPENDPD}/PA_gru_ok.csv": None,
}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cases")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


def diagnosis(cases: Path, name: str) -> Diagnosis:
    path = cases / name
    return diagnose_any(next(path.iterdir()) if path.is_dir() else path)


@pytest.mark.parametrize("name", SICK)
def test_its_kind_is_named(cases: Path, name: str) -> None:
    this = diagnosis(cases, name)
    severity, code = SICK[name]
    assert this.verdict == severity
    assert code in {each.code for each in this.findings if each.severity != "info"}


@pytest.mark.parametrize("name", SOUND)
def test_nothing_is_made_of_a_sound_run(cases: Path, name: str) -> None:
    this = diagnosis(cases, name)
    assert [each.code for each in this.findings if each.severity != "info"] == []
    assert SOUND[name] is None or SOUND[name] in {each.code for each in this.findings}


@pytest.mark.parametrize("name", [*SICK, *SOUND])
def test_no_rule_fails_and_none_advises_a_higher_rate_for_what_is_not_learned(cases: Path, name: str) -> None:
    this = diagnosis(cases, name)
    assert [each.reason for each in this.skipped if each.failed] == []
    if {"EV205", "EV206", "LS208"} & {each.code for each in this.findings}:
        assert "LR201" not in {each.code for each in this.findings}


def test_a_finished_run_is_done(cases: Path) -> None:
    assert diagnosis(cases, "08-finished-run-read-as-91-percent").facts.progress == 1.0
