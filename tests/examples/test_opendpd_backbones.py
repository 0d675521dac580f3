"""The backbones of OpenDPD as plug-ins: against OpenDPD's own forward pass, in an environment that has it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dpdrun import models
from dpdrun.errors import DataError, DpdrunError
from dpdrun.recipe import plugins
from dpdrun.recipe.loader import load_recipe, load_text

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "examples" / "plugins" / "opendpd_backbones.py"
RECIPE = "task: pa\ndata: {source: synthetic/mild}\nmodel: {kind: opendpd_tcn}\noptim: {lr: 1e-2}\n"

COMPARED = """
import sys, torch
from models import CoreModel  # OpenDPD's
from dpdrun import models
from dpdrun.plugins.check import check_entry
from dpdrun.recipe import plugins
plugins.load_files([sys.argv[1]])
x = 0.3 * torch.randn(2, 90, 2, generator=torch.Generator().manual_seed(0))
for kind in ("opendpd_gru", "opendpd_lstm", "opendpd_dgru", "opendpd_qgru", "opendpd_tres_gru", "opendpd_tcn"):
    entry = plugins.find("models", kind)
    torch.manual_seed(0)
    ours = models.build(entry.value.section(kind=kind, hidden=6), scale_x=2.0, scale_y=3.0).eval()
    theirs = CoreModel(2, 6, 1, kind.removeprefix("opendpd_")).eval()
    core = "core." if kind not in ("opendpd_tcn",) else "module.core."
    own = {name.removeprefix(core): value for name, value in ours.state_dict().items() if name.startswith(core)}
    theirs.load_state_dict(own)
    expected, found = 3.0 * theirs(x / 2.0), ours(x)
    inner = slice(30, -30)  # their convolutions pad layer by layer, and roll() joins the ends of a record
    torch.testing.assert_close(found[:, inner], expected[:, inner], rtol=1e-4, atol=1e-5)
    failed = [str(check) for check in check_entry(entry, ["hidden=6"]) if not check.passed]
    assert not failed, (kind, failed)
    print(kind)
"""


@pytest.mark.usefixtures("plugin_registry")
def test_the_kinds_are_known_without_opendpd() -> None:
    plugins.load_files([PLUGIN])
    assert load_text(RECIPE).recipe.model.context == 30  # type: ignore[union-attr]
    assert load_recipe(PLUGIN.with_name("opendpd_dgru.yaml")).recipe.model.kind == "opendpd_dgru"
    with pytest.raises(DpdrunError, match=r"model.kind opendpd_tcn needs OpenDPD: pip install opendpd==2.4.2"):
        models.build(load_text(RECIPE).recipe.model, scale_x=1.0, scale_y=1.0)


@pytest.fixture(scope="module")
def python() -> Path:
    from benchmarks.arena.install import install

    try:
        return install()
    except DataError as error:
        pytest.skip(f"OpenDPD cannot be fetched here: {error}")


@pytest.mark.slow
def test_outputs_and_streams_are_those_of_opendpd(python: Path) -> None:
    done = subprocess.run(
        [python, "-c", COMPARED, str(PLUGIN)], cwd=ROOT / "build", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 6


@pytest.mark.slow
def test_one_is_trained_by_a_recipe_streamed_and_scored(python: Path, tmp_path: Path) -> None:
    def dpdrun(*words: str) -> str:
        command = [python, "-m", "dpdrun", *words, "--plugin", str(PLUGIN)]
        done = subprocess.run(
            [str(word) for word in command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    (tmp_path / "r.yaml").write_text(RECIPE.replace("kind: opendpd_tcn", "kind: opendpd_tres_gru, hidden: 6"))
    dpdrun("train", "r.yaml", "--set", "train.max_steps=30", "--run-dir", "run")
    assert "NMSE" in dpdrun("evaluate", "run")
    assert "verified on" in dpdrun("export", "run", "--to", "torchscript")
    dpdrun("apply", "run", "test", "out.npz")
    assert (tmp_path / "out.npz").stat().st_size > 0
