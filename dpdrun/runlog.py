"""The run folder: every file that a training run leaves, and the only code that knows their names.

Files appear whole or not at all: they are written under a temporary name, flushed to disk, and renamed. The exception
is `metrics.jsonl`, to which a line per optimizer step is appended; a torn last line (after a crash) is ignored by the
reader and cut off on resume. Non-finite numbers are written as the strings "nan", "inf", "-inf": every line is JSON.
"""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from pydantic_core import from_json

from dpdrun.errors import RunError
from dpdrun.links import refuse_folders_elsewhere

SCHEMA_VERSION = 1
PARTIAL = ".partial"  # end of the names that files have until they are whole

Json = dict[str, Any]


@dataclass
class Metrics:
    """What `metrics.jsonl` holds, in the order it was written: a dict a step, an evaluation, an epoch, an adaptation,
    a scoring of `optim.finish`.

    An adaptation (`train.on_finding: adapt`) goes back to the step `to_step`: what was written of later steps until
    then no longer counts, and is not here.
    """

    steps: list[Json] = field(default_factory=list)
    evals: list[Json] = field(default_factory=list)
    epochs: list[Json] = field(default_factory=list)
    adapts: list[Json] = field(default_factory=list)
    finish: list[Json] = field(default_factory=list)

    def add(self, line: Json) -> None:
        """Take one line; kinds of a later version are passed over."""
        match line["kind"]:
            case "step":
                self.steps.append(line)
            case "eval":
                self.evals.append(line)
            case "epoch":
                self.epochs.append(line)
            case "finish":
                self.finish.append(line)
            case "adapt":
                for lines in (self.steps, self.evals, self.epochs):
                    while lines and lines[-1]["step"] > line["to_step"]:
                        lines.pop()
                self.adapts.append(line)

    def lr_factor(self, step: int) -> float:
        """By how much adaptations had lowered the planned learning rate of a step."""
        return next((float(line["lr_factor"]) for line in reversed(self.adapts) if line["to_step"] < step), 1.0)


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
    model = property(lambda self: self.path / "model.safetensors")
    last = property(lambda self: self.path / "checkpoints" / "last.safetensors")
    best = property(lambda self: self.path / "checkpoints" / "best.safetensors")
    finish = property(lambda self: self.path / "checkpoints" / "finish.safetensors")
    tracking = property(lambda self: self.path / "tracking")

    def good(self, step: int) -> Path:
        """A checkpoint to go back to, of `train.on_finding: adapt`."""
        return self.path / "checkpoints" / f"good-{step}.safetensors"

    def goods(self) -> dict[int, Path]:
        """Those that are there, by step, the earliest first."""
        found = (self.path / "checkpoints").glob("good-*.safetensors")
        return dict(sorted((int(path.stem.removeprefix("good-")), path) for path in found))

    @classmethod
    def create(cls, path: Path) -> RunFolder:
        """Make an empty run folder. Raises RunError when the path holds something already or cannot be written."""
        try:
            if path.is_dir() and any(path.iterdir()):
                raise RunError(
                    f"{path}: this folder is not empty; give another --run-dir, or --resume to continue the run in it"
                )
            (path / "checkpoints").mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise RunError(f"{path}: cannot make the run folder: {exc.strerror}") from exc
        return cls(path)

    @classmethod
    @contextmanager
    def creating(cls, path: Path) -> Iterator[RunFolder]:
        """`create` under `lock`; takes back what was made, parents too, when the block raises before the first step.

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
            if folder.plan.exists():  # of a process that came first by a hair
                raise RunError(f"{path}: there is a run in this folder; give another --run-dir")
            try:
                yield folder
            except BaseException:
                if not folder.has_steps():
                    folder._discard()
                    _remove_empty(made)
                raise

    def has_steps(self) -> bool:
        """True when a line has been logged, or a checkpoint or a model written."""
        logged = self.metrics.is_file() and self.metrics.stat().st_size > 0
        return logged or any(path.is_file() for path in (self.last, self.best, self.model))

    def _discard(self) -> None:
        """Remove the files of a run that never made a step."""
        with suppress(OSError):
            shutil.rmtree(self.last.parent, ignore_errors=True)
            for path in (self.recipe, self.plan, self.metrics, self.heartbeat, *self.path.glob(f".*{PARTIAL}")):
                path.unlink(missing_ok=True)

    @property
    def resume_command(self) -> str:
        """What to type to continue this run."""
        recipe, path = shlex.quote(str(self.recipe)), shlex.quote(str(self.path))
        return f"dpdrun train {recipe} --run-dir {path} --resume"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from training in this folder; the lock goes with the process, however it ends.

        It is held on the folder itself, so no file is left. Where the file system has no such locks, nothing is held.

        Raises:
            RunError: another process holds it.
        """
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

    def sweep(self) -> None:
        """Remove what a killed process left half written. Only under `lock`: a live one is writing such files too."""
        for folder in (self.path, self.last.parent):
            for path in folder.glob(f".*{PARTIAL}"):
                with suppress(OSError):  # it does no harm
                    path.unlink(missing_ok=True)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """An existing run folder. Raises RunError when the path is not one."""
        folder = cls(path)
        if not path.exists():
            near = sorted(p.parent.name for p in path.parent.glob("*/plan.json")) if path.parent.is_dir() else []
            hint = f"; runs in {path.parent}: {', '.join(near)}" if near else ""
            raise RunError(f"{path}: no such run folder{hint}")
        refuse_folders_elsewhere(path)
        if not folder.plan.is_file():
            if folder.has_steps():
                raise RunError(f"{folder.plan}: missing, and the run cannot be read without; bring a copy of it back")
            raise RunError(f"{path}: not a run folder (it has no plan.json); `dpdrun train` makes one")
        return folder

    def read_json(self, path: Path) -> Json:
        """One of this folder's JSON files. Raises RunError naming the file and, when it is damaged, the place."""
        try:
            loaded = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as exc:
            raise RunError(f"{path}: missing; did the run finish?") from exc
        except (OSError, UnicodeDecodeError) as exc:
            raise RunError(f"{path}: cannot read: {exc}") from exc
        except json.JSONDecodeError as exc:
            raise RunError(f"{path}:{exc.lineno}:{exc.colno}: not valid JSON: {exc.msg}") from exc
        except (ValueError, RecursionError) as exc:  # a number of thousands of digits, thousands of brackets
            raise RunError(f"{path}: not a file of a run: {exc}") from exc
        if not isinstance(loaded, dict):
            raise RunError(f"{path}: expected a JSON object")
        return loaded

    def write_json(self, path: Path, content: Json) -> None:
        """Write one of this folder's JSON files, whole or not at all."""
        write_text(path, json.dumps(encode_numbers(content), indent=2, allow_nan=False) + "\n")


def _remove_empty(folders: list[Path]) -> None:
    """Remove folders, innermost first, up to the first that is not empty."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def default_folder(recipe_path: Path, root: Path = Path("runs")) -> Path:
    """`runs/<recipe name>`, or the first free `runs/<recipe name>-N` when that one is taken."""
    name = recipe_path.stem if recipe_path.stem.strip(".") else "recipe"  # of a file `...yaml` it is `..`
    taken = {p.name for p in root.iterdir()} if root.is_dir() else set()
    if name not in taken:
        return root / name
    return root / next(f"{name}-{n}" for n in range(2, len(taken) + 3) if f"{name}-{n}" not in taken)


_REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room on its disk"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "make its folder writable"),
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
}


def unwritable(path: Path, exc: OSError) -> RunError:
    """What to raise where a file cannot be written: why, what to do, and how a run with a checkpoint goes on."""
    remedy = f"; {_REMEDIES[exc.errno]}" if exc.errno in _REMEDIES else ""
    run = next((each for each in map(RunFolder, path.parents[:2]) if each.plan.is_file() and each.last.is_file()), None)
    if run is not None and not run.report.is_file():
        remedy += f"{', then' if remedy else ';'} continue with:\n  {run.resume_command}"
    return RunError(f"{path}: cannot write: {exc.strerror or exc}{remedy}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; on success flush it to disk and rename it to `path`, else remove it.

    The file gets the mode that the umask gives to new files, whatever its writer chose.
    Raises RunError when the disk is full or the folder cannot be written; `path` then holds what it held before.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        temporary.unlink(missing_ok=True)  # of a killed process with this number, as each is 1 in a container
        with temporary.open("xb") as handle:  # never through a link that somebody put there
            mode = os.fstat(handle.fileno()).st_mode & 0o777
        yield temporary
        temporary.chmod(mode)
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    except OSError as exc:
        raise unwritable(path, exc) from exc
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def encode_numbers(value: Any) -> Any:
    """The same nest of dicts and lists with non-finite floats as the strings "nan", "inf" and "-inf"."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: encode_numbers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode_numbers(item) for item in value]
    return value


_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def decode_numbers(value: Any) -> Any:
    """Undo `encode_numbers`."""
    if isinstance(value, dict):
        return {key: decode_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [decode_numbers(item) for item in value]
    return _NON_FINITE.get(value, value) if isinstance(value, str) else value


class MetricsWriter:
    """Appends lines to `metrics.jsonl`. `flush` pushes them to the file; a crash loses the lines since the last one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._handle: IO[str] = path.open("a", encoding="utf-8")
        except OSError as exc:
            raise unwritable(path, exc) from exc

    def __enter__(self) -> MetricsWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def write(self, line: Json) -> None:
        """Append one line."""
        try:
            text = json.dumps(line, allow_nan=False)
        except ValueError:  # a non-finite number: rare, so the walk over the line is only paid here
            text = json.dumps(encode_numbers(line), allow_nan=False)
        try:
            self._handle.write(text + "\n")
        except OSError as exc:
            raise unwritable(self._path, exc) from exc

    def flush(self) -> None:
        """Hand all lines to the operating system."""
        try:
            self._handle.flush()
        except OSError as exc:
            raise unwritable(self._path, exc) from exc

    def close(self) -> None:
        """Flush and close."""
        try:
            self._handle.close()  # flushes, also when an earlier flush has failed, and closes even if it fails again
        except OSError as exc:
            raise unwritable(self._path, exc) from exc


def _lines(path: Path, *, decode: bool = False) -> Iterator[Json]:
    """The complete lines of a metrics file. A torn last line is skipped; damage elsewhere raises RunError.

    `decode` gives non-finite numbers as numbers. pydantic's JSON reader takes a third of the time of Python's, which
    counts for logs of 100,000 steps.
    """
    with path.open("rb") as handle:
        for number, raw in enumerate(handle, start=1):
            if not raw.endswith(b"\n"):
                return
            try:
                line = from_json(raw)
            except ValueError as exc:
                raise RunError(f"{path}:{number}: damaged line ({exc})") from exc
            if not isinstance(line, dict) or "kind" not in line or "step" not in line:
                raise RunError(f"{path}:{number}: expected an object with the keys kind and step")
            yield decode_numbers(line) if decode and (b'nan"' in raw or b'inf"' in raw) else line


def read_metrics(folder: Path) -> Metrics:
    """Read the metrics of a run folder (also while it is being written)."""
    path = RunFolder(folder).metrics
    metrics = Metrics()
    if not path.is_file():
        raise RunError(f"{path}: missing; this run has no steps (a least-squares fit has none)")
    for line in _lines(path, decode=True):
        metrics.add(line)
    return metrics


def logged_until(folder: RunFolder, step: int, adapts: Sequence[Json] = ()) -> list[Json]:
    """The lines of `metrics.jsonl` that belong to a checkpoint.

    Args:
        folder: of the run.
        step: of the checkpoint.
        adapts: adaptation lines before it. Lines from before the last of them stay, as the record of what was undone;
            of the later ones those up to `step`.
    """
    kept, seen = [], 0
    for line in _lines(folder.metrics) if folder.metrics.is_file() else ():
        if line["kind"] == "adapt" and seen == len(adapts):
            break
        seen += line["kind"] == "adapt"
        if seen < len(adapts) or line["step"] <= step or line["kind"] == "adapt":
            kept.append(line)
    return kept + [encode_numbers(line) for line in adapts[seen:]]  # the checkpoint is written before the line


def truncate_metrics(folder: RunFolder, step: int, adapts: Sequence[Json] = ()) -> None:
    """Drop the lines that a run resumed from a checkpoint will write again; arguments as of `logged_until`."""
    if folder.metrics.is_file():
        kept = logged_until(folder, step, adapts)
        write_text(folder.metrics, "".join(json.dumps(line) + "\n" for line in kept))
