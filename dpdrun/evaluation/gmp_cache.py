"""Fitted gmp baselines on disk: the fit takes a second, and many commands score runs on one capture.

A file of tensors for each capture and settings, in the folder `gmp` of `data.cache.cache_dir()`. A file is used only if
it is undamaged and of this version; without it the next command takes a second longer.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

import torch

from dpdrun import __version__
from dpdrun.data.cache import cache_dir
from dpdrun.errors import DpdrunError
from dpdrun.models import _tensors, gmp

MOST_FILES = 64  # of some kB; 0 = none is read or written


def load(key: str, model: gmp.Model) -> bool:
    """Fill a model with the coefficients that were fitted for `key`; return whether there are any."""
    with suppress(DpdrunError, OSError, RuntimeError, KeyError):  # RuntimeError: tensors of another model
        if MOST_FILES:
            tensors, header = _tensors.read(_path(key))
            if header["key"] == key and all(torch.isfinite(each).all() for each in tensors.values()):
                model.load_state_dict(tensors)
                return True
    return False


def keep(key: str, model: gmp.Model) -> None:
    """Keep the coefficients of a fitted model, in place of the oldest where there are many."""
    with suppress(DpdrunError, OSError):
        if MOST_FILES:
            path = _path(key)
            path.parent.mkdir(parents=True, exist_ok=True)
            _tensors.write(path, model.state_dict(), {"key": key})
            files = sorted(path.parent.glob("*.safetensors"), key=lambda each: each.stat().st_mtime)
            for oldest in files[:-MOST_FILES]:
                oldest.unlink(missing_ok=True)


def _path(key: str) -> Path:
    """Return the file for a key: its name changes with this version, its code, and torch."""
    digest = hashlib.sha256("\0".join((key, __version__, torch.__version__)).encode())
    digest.update(Path(gmp.__file__).read_bytes())
    return cache_dir() / "gmp" / f"{digest.hexdigest()[:32]}.safetensors"
