"""Execute the notebooks of this folder in an empty folder, each in a fresh kernel.

python docs/tutorials/execute.py             and keep their outputs (`make tutorials`)
python docs/tutorials/execute.py --check     only fail where a cell does
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).parent
TIMEOUT_S = 600  # of a cell; all take seconds


def execute(path: Path, *, keep: bool) -> None:
    """Execute a notebook. Raises SystemExit with the cell's error."""
    book = nbformat.read(path, as_version=4)
    with TemporaryDirectory() as folder:
        client = NotebookClient(book, timeout=TIMEOUT_S, record_timing=False, resources={"metadata": {"path": folder}})
        try:
            client.execute()
        except CellExecutionError as error:
            raise SystemExit(f"{path.name}: {error}") from None
    book.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    if keep:
        nbformat.write(book, path)
    print(path.name)


def main() -> None:
    """Execute the notebooks that are named, or all."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    named = [Path(each) for each in sys.argv[1:] if each != "--check"]
    for path in named or sorted(FOLDER.glob("*.ipynb")):
        execute(path, keep="--check" not in sys.argv)


if __name__ == "__main__":
    main()
