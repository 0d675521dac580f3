"""`dpdrun plugins new`: what it writes works as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpdrun.errors import DpdrunError
from dpdrun.plugins.scaffold import write_plugin
from dpdrun.recipe import plugins
from dpdrun.recipe.loader import load_recipe


@pytest.mark.parametrize("state", [False, True])
@pytest.mark.usefixtures("plugin_registry")
def test_the_files_belong_together(tmp_path: Path, state: bool) -> None:
    module, test, recipe = write_plugin("lab_net", tmp_path / "new", state=state)
    plugins.load_files([module])
    assert load_recipe(recipe).recipe.model.kind == "lab_net"
    assert "my_net" not in "".join(path.read_text() for path in (module, test, recipe))
    assert "lab_net.py" in test.read_text()


def test_names_that_cannot_be_taken(tmp_path: Path) -> None:
    for name, message in (("My Net", "not a name"), ("true", "not a name"), ("gru", "there is a kind of this name")):
        with pytest.raises(DpdrunError, match=message):
            write_plugin(name, tmp_path)
    write_plugin("lab_net", tmp_path)
    with pytest.raises(DpdrunError, match=r"lab_net.py: already exists; --force overwrites it"):
        write_plugin("lab_net", tmp_path)
    write_plugin("lab_net", tmp_path, state=True, force=True)
    assert "LSTM" in (tmp_path / "lab_net.py").read_text()
