"""The run folder: every file that a training run leaves, and the only code that knows their names."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dpdrun.errors import RunError, UnwritableError
from dpdrun.run.contents import require_types
from dpdrun.run.environment import environment
from dpdrun.run.files import (
    PARTIAL,
    Json,
    is_there,
    json_text,
    make_folder,
    parse_json,
    sync_folder,
    unwritable,
    write_text,
)
from dpdrun.run.symlinks import reject_escaping_dirs, reject_special

SCHEMA_VERSION = 1
MOST_BYTES = 1 << 28  # of a JSON file; those of the longest runs have some MiB


class RunFolder:
    """Paths and files of one run; see docs/ARCHITECTURE.md, "Run folder"."""

    def __init__(self, path: Path) -> None:
        self.path = path

    recipe = property(lambda self: self.path / "recipe.yaml")
    plan = property(lambda self: self.path / "plan.json")
    metrics = property(lambda self: self.path / "metrics.jsonl")
    audit = property(lambda self: self.path / "audit.json")
    report = property(lambda self: self.path / "report.json")
    findings = property(lambda self: self.path / "findings.json")
    heartbeat = property(lambda self: self.path / "heartbeat.json")
    output = property(lambda self: self.path / "output.log")  # what could not be printed
    model = property(lambda self: self.path / "model.safetensors")
    capture = property(lambda self: self.path / "capture.npz")  # of a run that was trained on arrays from Python
    last = property(lambda self: self.path / "checkpoints" / "last.safetensors")
    best = property(lambda self: self.path / "checkpoints" / "best.safetensors")
    refinement = property(lambda self: self.path / "checkpoints" / "finish.safetensors")
    tracking = property(lambda self: self.path / "tracking")
    repairs = property(lambda self: self.path / "repairs")  # of `dpdrun diagnose --fix`

    def rollback_point(self, step: int) -> Path:
        """Return the path of a checkpoint that `train.on_finding: adapt` can roll back to."""
        return self.path / "checkpoints" / f"rollback-{step}.safetensors"

    def rollback_points(self) -> dict[int, Path]:
        """Return the rollback points that exist, by step, the earliest first."""
        paths = self.last.parent.glob("rollback-*.safetensors")
        named = ((re.fullmatch(r"rollback-([0-9]+)\.safetensors", path.name), path) for path in paths)
        return dict(sorted((int(name[1]), path) for name, path in named if name))

    @property
    def weights(self) -> Path | None:
        """The trained model, else the best so far of an unfinished run; None before the first."""
        return next((path for path in (self.model, self.best) if path.is_file()), None)

    @classmethod
    def create(cls, path: Path) -> RunFolder:
        """Create an empty run folder. Raises RunError when the path is not empty or cannot be written."""
        try:
            if path.is_dir() and any(path.iterdir()):
                raise RunError(
                    f"{path}: this folder is not empty; give another --run-dir, or --resume to continue the run in it"
                )
            make_folder(path / "checkpoints")
            sync_folder(path.absolute().parent)
        except OSError as exc:
            raise unwritable(path, exc) from exc
        return cls(path)

    @classmethod
    @contextmanager
    def creating(cls, path: Path) -> Iterator[RunFolder]:
        """Create a folder under `lock`; remove it, and the parents created for it, if the block raises before a step.

        Raises:
            RunError: as `create` and `lock`.
        """
        made = [place for place in (path, *path.parents) if not place.exists()]
        try:
            folder = cls.create(path)
        except RunError:
            _remove_empty(made)
            raise
        with folder.lock():
            if folder.plan.exists():  # another process was faster
                raise RunError(f"{path}: there is a run in this folder; give another --run-dir")
            try:
                yield folder
            except BaseException:
                if not folder.has_steps():
                    folder._discard()
                    _remove_empty(made)
                raise

    def has_steps(self) -> bool:
        """Return whether a line has been logged, or a checkpoint or a model written."""
        logged = self.metrics.is_file() and self.metrics.stat().st_size > 0
        return logged or any(path.is_file() for path in (self.last, self.best, self.model))

    def _discard(self) -> None:
        """Remove the files of a run that never made a step."""
        with suppress(OSError):
            shutil.rmtree(self.last.parent, ignore_errors=True)
            for path in (
                self.recipe,
                self.plan,
                self.metrics,
                self.heartbeat,
                self.output,
                self.capture,
                *self.path.glob(f".*{PARTIAL}"),
            ):
                path.unlink(missing_ok=True)

    @property
    def resume_command(self) -> str:
        """The command that continues this run."""
        recipe, path = shlex.quote(str(self.recipe)), shlex.quote(str(self.path))
        return f"dpdrun train {recipe} --run-dir {path} --resume"

    @contextmanager
    def resume_hint(self) -> Iterator[None]:
        """Add the command that continues this run to an error about a file that cannot be written."""
        try:
            yield
        except UnwritableError as exc:
            if not (self.plan.is_file() and self.last.is_file()) or self.report.is_file():
                raise
            raise RunError(f"{exc}{', then' if exc.remedy else ';'} continue with:\n  {self.resume_command}") from exc

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from training in this folder; the lock ends with the process, however that ends.

        It is held on the folder itself, so that no file remains. No effect on file systems without such locks, and on
        Windows, which has none on folders.

        Raises:
            RunError: another process holds it.
        """
        try:
            import fcntl
        except ImportError:  # Windows
            yield
            return
        handle = os.open(self.path, os.O_RDONLY)
        try:
            with suppress(OSError):
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as exc:
                    what = "another process is training in this folder; wait for it or stop it"
                    raise RunError(f"{self.path}: {what}, or give another --run-dir") from exc
            yield
        finally:
            os.close(handle)

    def is_locked(self) -> bool:
        """Return whether another process holds `lock`; False where it cannot be found out."""
        try:
            with self.lock():
                return False
        except RunError:
            return True
        except OSError:
            return False

    def remove(self) -> list[str]:
        """Remove what dpdrun has written, and the folder if nothing else is in it; return the names of what is left.

        The plan goes last: a removal that is interrupted leaves a run folder, which can be removed again.

        Raises:
            RunError: a process is training in it, or a file cannot be removed.
        """
        folders = (self.last.parent, self.tracking, self.repairs)
        files = (self.recipe, self.metrics, self.audit, self.report, self.findings, self.heartbeat, self.model,
                 self.capture)  # fmt: skip
        try:
            with self.lock():
                for folder in folders:
                    if folder.is_dir() and not folder.is_symlink():
                        shutil.rmtree(folder)
                for path in (*files, *self.path.glob(f".*{PARTIAL}"), self.plan):
                    path.unlink(missing_ok=True)
            left = sorted(path.name for path in self.path.iterdir())
            if not left:
                self.path.rmdir()
        except OSError as exc:
            raise RunError(f"{exc.filename or self.path}: cannot be removed: {exc.strerror}") from exc
        return left

    def sweep(self) -> None:
        """Remove half-written files of a killed process. Only under `lock`: a live process writes such files too."""
        for folder in (self.path, self.last.parent):
            for path in folder.glob(f".*{PARTIAL}"):
                with suppress(OSError):  # it does no harm
                    path.unlink(missing_ok=True)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Open an existing run folder. Raises RunError when the path is not one."""
        folder = cls(path)
        if not is_there(path):
            near = sorted(p.parent.name for p in path.parent.glob("*/plan.json")) if is_there(path.parent) else []
            hint = f"; runs in {path.parent}: {', '.join(near)}" if near else ""
            raise RunError(f"{path}: no such run folder{hint}")
        reject_escaping_dirs(path, depth=2)  # its repairs too
        reject_special(path, folder.last.parent)
        if not folder.plan.is_file():
            if folder.has_steps():
                raise RunError(f"{folder.plan}: missing; the run cannot be read without it; restore it from a backup")
            raise RunError(f"{path}: not a run folder (it has no plan.json); `dpdrun train` makes one")
        return folder

    def read_json(self, path: Path) -> Json:
        """Read one of this folder's JSON files. Raises RunError with the file and, if damaged, line and column."""
        try:
            if path.stat().st_size > MOST_BYTES:
                raise RunError(f"{path}: larger than {MOST_BYTES >> 20} MiB, so not a file of a run")
            loaded = parse_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError as exc:
            raise RunError(f"{path}: missing; did the run finish?") from exc
        except (OSError, UnicodeDecodeError) as exc:
            raise RunError(f"{path}: cannot read: {exc}") from exc
        except json.JSONDecodeError as exc:
            raise RunError(f"{path}:{exc.lineno}:{exc.colno}: not valid JSON: {exc.msg}") from exc
        except RecursionError as exc:
            raise RunError(f"{path}: not a file of a run: nested too deeply") from exc
        if not isinstance(loaded, dict):
            raise RunError(f"{path}: expected a JSON object")
        require_types(path, loaded)
        return loaded

    def write_json(self, path: Path, content: Json) -> None:
        """Write one of this folder's JSON files atomically, with date, host and versions unless it has them."""
        write_text(path, json_text({**content, "environment": content.get("environment") or environment()}) + "\n")


def _remove_empty(folders: list[Path]) -> None:
    """Remove folders, innermost first, up to the first that is not empty."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def require_free(path: Path) -> None:
    """Refuse a path where no new run folder can be made; writes nothing.

    Raises:
        RunError: the path is a file, holds a run or other files, or lies in a file.
    """
    if (path / "plan.json").is_file():
        raise RunError(f"{path}: there is a run in this folder; give another --run-dir, or --resume to continue it")
    if path.is_dir() and any(path.iterdir()):
        raise RunError(f"{path}: this folder is not empty; give another --run-dir")
    blocked = next((place for place in (path, *path.parents) if place.exists() and not place.is_dir()), None)
    if blocked is not None:
        raise RunError(f"{path}: cannot create the run folder: {blocked} is a file")


def runs_in(root: Path = Path("runs")) -> list[Path]:
    """Return the run folders in a folder, and those of the pipelines in it, the most recent first."""
    plans = [*root.glob("*/plan.json"), *root.glob("*/*/plan.json")]
    return [path.parent for path in sorted(plans, key=lambda each: each.stat().st_mtime, reverse=True)]


def default_folder(recipe_path: Path, root: Path = Path("runs")) -> Path:
    """Return `runs/<recipe name>`, or the first free `runs/<recipe name>-N` if that one is taken."""
    name = recipe_path.stem if recipe_path.stem.strip(".") else "recipe"  # of a file `...yaml` it is `..`
    if str(recipe_path) == "-" or recipe_path.parts[:2] in (("/", "dev"), ("/", "proc")):  # standard input, or a pipe
        name = "recipe"
    taken = {p.name for p in root.iterdir()} if root.is_dir() else set()
    if name not in taken:
        return root / name
    return root / next(f"{name}-{n}" for n in range(2, len(taken) + 3) if f"{name}-{n}" not in taken)
