"""The HTML page: stands alone, is whole, and shows text of others as text."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

from dpdrun.diagnosis.diagnose import diagnose_any, diagnose_facts
from dpdrun.report.diagnosis_html import diagnosis_html
from dpdrun.rules.examples import example_run
from dpdrun.rules.facts.run import RunFacts

VOID = {"meta", "br", "line", "rect", "polyline", "polygon", "circle"}


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


def test_everything_is_there() -> None:
    run = example_run(norm=lambda t: 0.1 * 10**t, loss=0.1, eval_step=[200, 400], eval_nmse_db=[-10.0, -12.0])
    this = diagnose_facts(run)
    tags = parsed(diagnosis_html(this, "runs/x"))
    assert sum(tag == "svg" for tag, _ in tags.seen) == 2
    finding = next(f for f in this.findings if f.code == "GN201")
    for text in ("runs/x", finding.message, finding.advice, "optim.lr: 5e-3", "threshold 0.3", this.skipped[0].reason):
        assert text in tags.text
    assert all(code in tags.text for code in this.healthy)


def test_nothing_is_loaded_from_elsewhere() -> None:
    page = diagnosis_html(diagnose_facts(example_run(norm=lambda t: 0.1 * 10**t, loss=0.1)), "runs/x")
    tags = parsed(page)
    assert {"script", "link", "img", "iframe", "image", "use"}.isdisjoint(tag for tag, _ in tags.seen)
    assert not any({"src", "href", "srcset", "style"} & set(attributes) for _, attributes in tags.seen)
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
    assert "svg" not in [tag for tag, _ in tags.seen]
