"""The contract of my_net: shapes, gradients, stream against record, context, state, saving."""

from __future__ import annotations

from pathlib import Path

from dpdrun.plugins import check_file


def test_my_net_keeps_the_contract() -> None:
    """Every check of `dpdrun plugins check my_net.py` passes."""
    checks = check_file(Path(__file__).with_name("my_net.py"))
    assert checks
    assert [str(check) for check in checks if not check.passed] == []
