"""The shape of the code, as docs/ARCHITECTURE.md draws it: who imports whom, where torch lives, how long a file is."""

from __future__ import annotations

import ast
import re
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "dpdrun"
MAX_LINES = 400

# Each room imports only from the rows below its own: the direction of docs/ARCHITECTURE.md.
LAYERS = (
    ("commands",),
    ("api", "plugins", "auto"),
    ("sweep", "pipeline", "export", "loop"),
    ("training",),
    ("report",),
    ("evaluation",),
    ("diagnosis", "dpd"),
    ("plan", "opendpd"),
    ("rules", "models", "data", "quantization"),
    ("run", "distributed"),
    ("recipe", "rf"),
    ("errors",),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

# Where a heavy library may be imported, as prefixes of the path in the package.
HOMES = {
    "torch": ("models/", "training/", "evaluation/", "export/", "quantization/training.py", "api/", "plugins/"),
    "accelerate": ("training/engine.py", "training/trackers.py", "training/tracking.py"),
    "mlflow": ("training/trackers.py",),
    "matplotlib": ("report/",),
    "onnx": ("export/onnx", "export/qonnx"),
    "onnxruntime": ("export/onnx.py", "export/qonnx.py"),
    "optuna": ("sweep/search.py",),
    "tensorboard": ("diagnosis/logs/tensorboard_log.py",),
    "h5py": ("data/formats/hdf5_process.py",),
    "typer": ("commands/",),
    "pickle": (),
}

# What a command file may import at module level, beside the standard library, so that `--help` stays quick.
LIGHT = {"typer", "typer.core", "dpdrun.errors", "dpdrun.run.trackers"}


def sources() -> list[Path]:
    found = sorted(path for path in PACKAGE.rglob("*.py"))
    assert len(found) > 20
    return found


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def imported(tree: ast.AST) -> set[str]:
    """Dotted names of the modules that a tree imports, at module level or deeper."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names.add(node.module or "")
            names.update(f"{node.module}.{alias.name}" for alias in node.names if node.module == "dpdrun")
    return names


@cache
def imports_of(path: Path) -> set[str]:
    """What a file imports: asked for once for each library."""
    return imported(ast.parse(path.read_text(encoding="utf-8")))


def test_imports_point_down() -> None:
    edges = []
    for path in sources():
        layer = relative(path).split("/")[0].removesuffix(".py")
        if layer in ("__init__", "__main__"):  # the ends of the chain: the public API, and `python -m dpdrun`
            continue
        assert layer in RANK, f"{relative(path)}: give {layer} a place in LAYERS and in docs/ARCHITECTURE.md"
        names = imports_of(path)
        targets = {name.split(".")[1] for name in names if name.startswith("dpdrun.")} - {layer, "__version__"}
        edges.extend((relative(path), layer, target) for target in sorted(targets))
    assert len(edges) > 20
    assert [f"{path} imports {target}" for path, layer, target in edges if RANK[target] <= RANK[layer]] == []


@pytest.mark.parametrize("library", HOMES)
def test_heavy_libraries_stay_at_home(library: str) -> None:
    users = [relative(path) for path in sources() if any(name.split(".")[0] == library for name in imports_of(path))]
    assert bool(users) == bool(HOMES[library]), f"who imports {library}?"
    assert [user for user in users if not user.startswith(HOMES[library])] == []


UNPICKLERS = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
UNPICKLING = {"read_pickle", "load_object", "read_array", "unsafe_load", "full_load"}
# of torch.distributed: messages that are pickled
OBJECTS = re.compile(r"\w*_object(_list)?\Z")


def test_nothing_reads_a_pickle() -> None:
    loads = []
    for path in sources():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not {name.split(".")[0] for name in imports_of(path)} & UNPICKLERS, relative(path)
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            called, where = ast.unparse(node.func), f"{relative(path)}:{node.lineno}"
            given = {each.arg: ast.unparse(each.value) for each in node.keywords}
            assert given.get("allow_pickle", "False") == "False", where
            name = called.rpartition(".")[2]
            assert name not in UNPICKLING, where
            assert not (OBJECTS.match(name) and called.startswith(("dist.", "torch.", "self._group"))), where
            if called in ("np.load", "numpy.load"):
                assert given.get("allow_pickle") == "False", where
                loads.append(where)
            if called.startswith("torch.") and name == "load":  # what the export has just written, to compare it
                assert (relative(path), called) == ("export/torchscript.py", "torch.jit.load"), where
    assert len(loads) >= 2


def test_command_files_import_little_at_module_level() -> None:
    files = [path for path in sources() if relative(path).startswith("commands/")]
    assert len(files) > 3  # they may import each other: the test holds for all of them
    for path in files:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        top = ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])
        others = {name for name in imported(top) if name.split(".")[0] not in sys.stdlib_module_names}
        assert {name for name in others if not name.startswith("dpdrun.commands.")} <= LIGHT, relative(path)


def test_commands_print_only_what_is_escaped() -> None:
    """Through `say` and `Terminal`, which send no control character of a name or a value to the terminal."""
    printing = []
    for path in sources():
        if not relative(path).startswith("commands/") or relative(path) == "commands/_output.py":
            continue
        calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        printing += [f"{relative(path)}: {ast.unparse(call)}" for call in calls
                     if ast.unparse(call.func) in ("print", "typer.echo", "typer.secho", "Console")]  # fmt: skip
    assert printing == []


def test_files_are_short() -> None:
    lengths = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    assert len(lengths) > 40
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}


def test_only_the_ends_of_the_package_stand_at_its_root() -> None:
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "__main__.py", "errors.py"}


def test_sources_are_ascii() -> None:
    assert [relative(path) for path in sources() if not path.read_bytes().isascii()] == []


def test_the_code_map_names_every_part() -> None:
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert [name for name in RANK if f"dpdrun/{name}" not in text] == []
