"""The folder of a product."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dpdrun.auto.product import Product
from dpdrun.errors import RunError


@pytest.mark.parametrize("name", ["dpd", "export", "search/dpd"])
def test_a_product_whose_parts_are_links_out_of_it_is_refused(name: str, tmp_path: Path) -> None:
    product = Product(tmp_path / "product")
    (product.path / name).parent.mkdir(parents=True)
    assert product.read() == {}
    (product.path / name).symlink_to(tmp_path / "outside")
    with pytest.raises(RunError, match=f"{name}: a symlink out of this folder"):
        product.read()


STATE = {
    "schema_version": 1,
    "made_from": {"budget": {"parameters": 300}},
    "seconds": 2.5,
    "searched_minutes": {"pa": 3},
}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seconds", "x"), ("seconds", "nan"), ("seconds", -1.0), ("seconds", 1e308), ("searched_minutes", {"pa": "x"}),
        ("made_from", None), ("made_from", {"budget": {"parameters": "300"}}), ("exported", None),
        ("exported", {"path": 3}), ("schema_version", 99),
    ],
)  # fmt: skip
def test_a_damaged_state_is_refused(key: str, value: Any, tmp_path: Path) -> None:
    product = Product(tmp_path)
    product.state.write_text(json.dumps(STATE))
    assert product.read()["seconds"] == 2.5
    product.state.write_text(json.dumps(STATE | {key: value}))
    with pytest.raises(RunError, match=f"auto.json: damaged: {key}.*bring a copy of it back"):
        product.read()
