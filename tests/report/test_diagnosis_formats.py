"""A diagnosis as Markdown and as an HTML page that stands alone, is complete, and shows text of others as text."""

from __future__ import annotations

import re
import sys
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dpdrun.diagnosis.diagnose import diagnose_any, diagnose_facts
from dpdrun.report.diagnosis_formats import diagnosis_html, diagnosis_markdown
from dpdrun.rules.examples import example_run
from dpdrun.rules.facts.run import RunFacts

VOID = {"meta", "br", "img"}


class Tags(HTMLParser):
    """Checks that tags are closed in order; collects attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    return tags


def test_page_has_everything() -> None:
    run = example_run(norm=lambda t: 0.1 * 10**t, loss=0.1, eval_step=[200, 400], eval_nmse_db=[-10.0, -12.0])
    this = diagnose_facts(run)
    tags = parsed(diagnosis_html(this, "runs/x"))
    (image,) = (attributes for tag, attributes in tags.seen if tag == "img")
    kind, _, content = (image["src"] or "").partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert b"<svg" in b64decode(content)
    finding = next(f for f in this.findings if f.code == "GN201")
    for text in ("runs/x", finding.message, finding.advice, "optim.lr: 5e-3", "threshold 0.3", this.skipped[0].reason):
        assert text in tags.text
    assert all(code in tags.text for code in this.healthy)


def test_nothing_is_loaded_from_elsewhere() -> None:
    page = diagnosis_html(diagnose_facts(example_run(norm=lambda t: 0.1 * 10**t, loss=0.1)), "runs/x")
    tags = parsed(page)
    assert {"script", "link", "iframe", "image", "use"}.isdisjoint(tag for tag, _ in tags.seen)
    assert not any({"href", "srcset", "style"} & set(attributes) for _, attributes in tags.seen)
    assert all((attributes.get("src") or "data:").startswith("data:") for _, attributes in tags.seen)
    assert re.findall(r"url\(|@import", page) == []


def test_names_of_others_are_text(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("step,<script>alert(1)</script>\n" + "".join(f"{i},0.5\n" for i in range(5)))
    page = diagnosis_html(diagnose_any(path, ["loss=<script>alert(1)</script>"]), "<b>run</b>")
    tags = parsed(page)
    assert "<b>run</b>" in tags.text
    assert "loss = <script>alert(1)</script>" in tags.text
    assert {"script", "b"}.isdisjoint(tag for tag, _ in tags.seen)


def test_a_run_without_steps() -> None:
    tags = parsed(diagnosis_html(diagnose_facts(RunFacts(total_steps=100)), "x"))
    assert "unknown" in tags.text
    assert "no optimizer step was logged" in tags.text


def test_without_matplotlib_the_chart_is_in_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    tags = parsed(diagnosis_html(diagnose_facts(example_run(norm=lambda t: 0.1 * 10**t, loss=0.1)), "runs/x"))
    assert "gradient norm before clipping, logarithmic" in tags.text
    assert "img" not in [tag for tag, _ in tags.seen]


def test_markdown_has_everything() -> None:
    this = diagnose_facts(example_run(norm=lambda t: 0.1 * 10**t, loss=0.1))
    text = diagnosis_markdown(this, "runs/x")
    assert text.startswith("## dpdrun diagnose: runs/x\n\n**warning**: 2 warnings")
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
