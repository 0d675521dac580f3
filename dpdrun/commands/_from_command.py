"""`dpdrun recommend --from-command`: an OpenDPD command line as a recipe."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpdrun.errors import RecipeError

if TYPE_CHECKING:
    from dpdrun.opendpd.command import Translation
    from dpdrun.recipe.loader import Loaded

UNWRITTEN = "RECIPE"  # what findings call a recipe that has no file yet
MAX_BYTES = 1 << 20  # a script is a page; a larger file was named by mistake


@dataclass(frozen=True)
class FromCommand:
    """What was read, and the recipe that came of it."""

    translation: Translation
    loaded: Loaded

    def remarks(self) -> str:
        """What is not the same as in OpenDPD, a line each."""
        this = self.translation
        lines = [f"{this.told}: translated; defaults are those of {this.dialect}"]
        return "\n".join([*lines, *(f"  {remark}" for remark in this.remarks)])

    def to_json(self) -> dict[str, Any]:
        """What `--format json` has beside the recommendation."""
        this = self.translation
        content = {"where": this.where, "dialect": this.dialect, "remarks": list(this.remarks)}
        return {"translation": content | {"recipe": self.loaded.effective_text}}


def read(
    given: str,
    flags: dict[str, Any],
    overrides: list[str],
    *,
    frames: int | None,
    pick: int | None,
    out: Path | None,
) -> FromCommand:
    """Read a command, a script file, or `-` for standard input.

    Args:
        given: what the user wrote after --from-command.
        flags: those of recommend that the user gave; `data` and `rules` go into the recipe, `epochs` and `batch_size`
            take the place of OpenDPD's, for the number of steps follows from them.
        overrides: the others, as `key=value`.
        frames: training frames in one pass, where the user says so.
        pick: which of several commands.
        out: where the recipe will be written, the name that findings show.

    Raises:
        RecipeError: no file, no command, or a command that makes no recipe.
    """
    from dpdrun.commands._measured import section_of
    from dpdrun.opendpd.command import translate
    from dpdrun.recipe.loader import load_text

    script, name = _script(given)
    section_of("any", flags.get("sample_rate_hz"), flags.get("bandwidth_hz"))  # refuses what is no rate
    translation = translate(
        script,
        name,
        source=flags.get("data"),
        frames=frames,
        pick=pick,
        rules=str(flags.get("rules") or "measured"),
        stated={name: flags[name] for name in ("sample_rate_hz", "bandwidth_hz") if name in flags},
        also=_length(flags),
    )
    try:
        loaded = load_text(translation.text, out or UNWRITTEN, overrides)
    except RecipeError as error:
        raise RecipeError(f"{translation.where}: the command makes no recipe that trains:\n{error}") from None
    return FromCommand(translation, loaded)


def _length(flags: dict[str, Any]) -> list[str]:
    """The flags that set how long a run is, in OpenDPD's words."""
    epochs, batch = flags.get("epochs"), flags.get("batch_size")
    if epochs is not None and not (epochs >= 1 and float(epochs).is_integer()):  # nan too
        raise RecipeError(f"--epochs {epochs:g}: OpenDPD counts whole epochs, 1 or more")
    words = [] if epochs is None else ["--n_epochs", str(int(epochs))]
    return words if batch is None else [*words, "--batch_size", str(batch)]


def _script(given: str) -> tuple[str, str]:
    """The text and its name for messages."""
    if given == "-":
        return sys.stdin.buffer.read(MAX_BYTES).decode("utf-8", errors="replace"), "standard input"
    if not given.strip():
        raise RecipeError("--from-command: empty; quote a command: --from-command 'python main.py --step train_pa ...'")
    path = Path(given)
    if "\n" in given or (" " in given.strip() and not _is_there(path)):
        return given, "--from-command"
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise RecipeError(
            f"--from-command {given}: neither a script that can be read ({reason}) nor a command; "
            "quote the whole command: --from-command 'python main.py --step train_pa ...'"
        ) from None
    if len(data) > MAX_BYTES:
        raise RecipeError(f"{given}: larger than {MAX_BYTES // 1024} KiB; this is not a script")
    return data.decode("utf-8", errors="replace"), given


def _is_there(path: Path) -> bool:
    """Whether a file has this name; a command is often too long to be one."""
    try:
        return path.exists()
    except OSError:
        return False
