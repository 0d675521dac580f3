"""The files of the rules: every one is in the catalogue, says which families it holds, and leaves no code behind."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

from dpdrun.recipe.describe import field_docs
from dpdrun.rules.advice import derivable
from dpdrun.rules.engine import all_rules

ROOT = Path(__file__).parents[2]
FILES = [
    path
    for path in sorted((ROOT / "dpdrun" / "rules").glob("*/*.py"))
    if path.parent.name in ("plan", "run") and path.stem != "__init__"
]
DECLARATIONS = {"derive", "check", "diagnose", "constant"}
GOLDEN = ROOT / "tests" / "golden" / "rules.txt"

# Fields that take `auto` and are no rule's: the reason that a user is told in their description.
NOT_BY_RULES = {
    "data.sample_rate_hz": "as stated by the source",
    "data.bandwidth_hz": "as stated by the source",
    "data.cyclic": "if a record is a sequence of looped frames",
    "data.split": "as stated by the source",
    "data.split.guard": "no frame sees two splits",
    "data.input": "auto = by its name",
    "data.output": "which signal of the file",
    "data.columns": "auto = its header",
    "data.carriers": "auto = as stated by the source",
    "data.channel_spacing_hz": "auto = bandwidth / carriers",
    "data.source.input_q": "auto = `input` has both",
    "data.source.output_q": "file of Q of the PA output, likewise",
    "data.source.dtype": "auto = by content",
    "data.align": "auto = estimate delay",
    "train.device": "auto = a CUDA GPU if torch finds one",
    "train.compile": "torch.compile",
    "train.threads": "as many as the work of a step keeps busy",
    "train.loss.beyond": "auto = out_of_band",
    "quantization.state": "auto = those of activations",
    "dpd.peak_limit": "largest magnitude of the training input",
}


def codes_in(path: Path) -> set[str]:
    """First arguments of the declarations of a file: `@check("OP101", ...)`, `@family.check(...)`, `constant(...)`."""
    codes = set()
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(call, ast.Call) and call.args:
            name = getattr(call.func, "attr", getattr(call.func, "id", None))
            if name in DECLARATIONS:
                codes.add(ast.literal_eval(call.args[0]))
    return codes


def test_every_file_of_rules_is_in_the_catalogue() -> None:
    assert len(FILES) > 10
    written = {code for path in FILES for code in codes_in(path)}
    assert written == set(all_rules()), "a file of rules has to be imported in the __init__.py beside it"


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_file_names_its_families_and_what_they_are_about(path: Path) -> None:
    doc = importlib.import_module(f"dpdrun.rules.{path.parent.name}.{path.stem}").__doc__ or ""
    named = set(re.findall(r"\b([A-Z]{2})(?:\dxx)?: ", doc))
    assert named == {code[:2] for code in codes_in(path)}


def test_codes_are_never_reused_or_renamed() -> None:
    """Users filter on codes. The file holds every code that ever was with its slug; only append to it.

    A rule that goes keeps its line, with the word `retired` behind it.
    """
    lines = [line.split() for line in GOLDEN.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert len(lines) > 40
    known = {words[0]: words[1] for words in lines}
    retired = {words[0] for words in lines if words[2:] == ["retired"]}
    assert len(known) == len(lines), "a code stands twice"
    now = {code: rule.slug for code, rule in all_rules().items()}
    new = {f"{code} {slug}" for code, slug in now.items() if code not in known}
    assert new == set(), f"append to {GOLDEN.relative_to(ROOT)}"
    assert {code: known[code] for code in now} == now, "a code got another slug: that is a new rule, with a new code"
    assert set(known) - set(now) == retired, "these codes are gone: mark their lines as retired"


def test_every_field_that_takes_auto_has_rules_or_a_reason() -> None:
    docs = {doc.key: doc for doc in field_docs() if "auto" in doc.words}
    assert len(docs) > 15
    assert set(docs) - set(derivable()) == set(NOT_BY_RULES)
    for key, reason in NOT_BY_RULES.items():
        assert reason in docs[key].description
