"""Sources that several rules cite."""

from __future__ import annotations

from dpdrun.rules import sources
from dpdrun.rules.engine import all_rules


def test_every_source_is_cited() -> None:
    texts = [value for name, value in vars(sources).items() if name.isupper() and isinstance(value, str)]
    cited = [f"{rule.source} {rule.results}" for rule in all_rules().values()]
    assert texts
    assert all(any(text in source for source in cited) for text in texts)
