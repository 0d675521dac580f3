"""An environment for the judge: opendpd 2.4.2 beside the packages of this project.

make arena-env          (or: python -m benchmarks.arena.install)

The wheel asks for a web server and a window toolkit, which the judge never imports: it is installed without its
dependencies, and finds torch, numpy, scipy and pydantic where dpdrun does. It has an environment of its own because it
also installs top-level modules named `models`, `utils`, `project` and `main`.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from benchmarks.common import ROOT
from dpdrun.data.formats.opendpd_wheel import fetch_wheel

ENVIRONMENT = ROOT / "build" / "arena-env"
READY = ENVIRONMENT / ".ready"


def python() -> Path:
    """The interpreter of the environment."""
    return ENVIRONMENT / "bin" / "python"


def install() -> Path:
    """Make the environment if it is not there; returns its interpreter. The wheel's sha256 is checked first."""
    wheel = fetch_wheel()
    purelib = sysconfig.get_path("purelib")
    if READY.is_file() and READY.read_text() == f"{wheel}\n{purelib}\n":
        return python()
    venv.create(ENVIRONMENT, clear=True, with_pip=False)
    theirs = subprocess.run(
        [python(), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    # Through addsitedir, not as a plain path: dpdrun itself may be there as an editable install, which is a .pth too
    (Path(theirs) / "project.pth").write_text(f"import site; site.addsitedir({purelib!r})\n")
    pip = [sys.executable, "-m", "pip", "--python", str(python()), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--disable-pip-version-check", str(wheel)], check=True)
    READY.write_text(f"{wheel}\n{purelib}\n")
    return python()


if __name__ == "__main__":
    print(install())
