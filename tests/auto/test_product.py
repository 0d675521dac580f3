"""The folder of a product."""

from __future__ import annotations

from pathlib import Path

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
