"""Write a new plug-in: a kind of model that works, its test and a recipe, ready to edit."""

from __future__ import annotations

from pathlib import Path

from dpdrun.errors import DpdrunError
from dpdrun.recipe.plugins import is_name, names
from dpdrun.run.files import make_folder, write_text

PLACEHOLDER = "my_net"
RECIPE = """\
# Train it: dpdrun train my_net.yaml --plugin my_net.py
task: pa
data:
  source: synthetic/mild  # your capture: docs/data.md
model:
  kind: my_net
optim:
  lr: 3e-2  # no rule covers a new kind: dpdrun probe my_net.yaml --plugin my_net.py -o probed.yaml measures a value
train:
  max_steps: 400
"""


def write_plugin(name: str, folder: Path, *, state: bool = False, force: bool = False) -> list[Path]:
    """Write NAME.py, test_NAME.py and NAME.yaml.

    Args:
        name: of the kind, as a recipe will have it.
        folder: is made if it is missing.
        state: a model with its own state instead of a plain one.
        force: replace files that are there.

    Raises:
        DpdrunError: not a name, a name that is taken, or a file that is there.
    """
    if not is_name(name):
        raise DpdrunError(f"{name}: not a name of a kind: use lower-case letters, digits and underscores")
    if name in names("models"):
        raise DpdrunError(f"{name}: there is a kind of this name; choose another")
    here = Path(__file__).parent
    texts = {
        f"{name}.py": (here / f"template_{'state' if state else 'plain'}.py").read_text(encoding="utf-8"),
        f"test_{name}.py": (here / "template_test.py").read_text(encoding="utf-8"),
        f"{name}.yaml": RECIPE,
    }
    paths = [folder / file for file in texts]
    if not force and (there := [path for path in paths if path.exists()]):
        raise DpdrunError(f"{there[0]}: already exists; --force overwrites it")
    make_folder(folder)
    for path, text in zip(paths, texts.values(), strict=True):
        write_text(path, text.replace(PLACEHOLDER, name))
    return paths
