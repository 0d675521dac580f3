"""Markdown for a pull request."""

from __future__ import annotations

from pathlib import Path

from dpdrun.diagnosis.diagnose import diagnose_any, diagnose_facts
from dpdrun.report.diagnosis_markdown import diagnosis_markdown
from dpdrun.rules.examples import example_run


def test_everything_is_there() -> None:
    this = diagnose_facts(example_run(norm=lambda t: 0.1 * 10**t, loss=0.1))
    text = diagnosis_markdown(this, "runs/x")
    assert text.startswith("## dpdrun diagnose: runs/x\n\n**warning**: 1 warning")
    assert "| warning | `GN201` gradient\\_norm\\_climbs | 21 |" in text
    assert "- recipe: `optim.lr: 5e-3`" in text
    assert "- why: " in text
    assert text.count("```") == 2
    assert text.count("<details>") == text.count("</details>") == 3
    assert all(f"`{code} " in text for code in this.healthy)
    assert all(skip.code in text for skip in this.skipped)


def test_tables_and_tags_survive_text_of_others(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("step,a|b<i>\n" + "".join(f"{i},0.5\n" for i in range(5)))
    text = diagnosis_markdown(diagnose_any(path, ["loss=a|b<i>"]), "log|1")
    assert "loss = a\\|b\\<i\\>" in text
    assert "log\\|1" in text
