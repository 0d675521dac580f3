"""Print the requirements of pyproject.toml at exactly their lower bounds, for `make lower-bounds`."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

EXTRAS = ("plots", "export")  # what the tests that run there need
TESTS = ("hypothesis", "pytest")  # of the extra dev, at its bounds too


def lower_bounds() -> list[str]:
    """Return `name==version` for every dependency. Raises ValueError where one has no lower bound."""
    project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text("utf-8"))["project"]
    optional = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(each for extra in EXTRAS for each in optional[extra])]
    wanted += [each for each in optional["dev"] if re.split("[>=]", each)[0] in TESTS]
    found = []
    for requirement in wanted:
        match = re.fullmatch(r"([A-Za-z0-9-]+)>=([0-9.]+)", requirement)
        if match is None:
            raise ValueError(f"pyproject.toml: {requirement} has no lower bound")
        found.append(f"{match[1]}=={match[2]}")
    return found


if __name__ == "__main__":
    print("\n".join(lower_bounds()))
