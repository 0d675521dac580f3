"""`dpdrun recommend --from-command`: an OpenDPD command line as a recipe."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpdrun.errors import RecipeError

if TYPE_CHECKING:
    from dpdrun.readers.opendpd_command import Translation
    from dpdrun.recipe.loader import Loaded

MAX_BYTES = 1 << 20  # a script is a page; a larger file was named by mistake


@dataclass(frozen=True)
class FromCommand:
    """What was read, and the recipe that came of it."""

    translation: Translation
    loaded: Loaded

    def remarks(self) -> str:
        """What is not the same as in OpenDPD, a line each."""
        this = self.translation
        lines = [f"{this.where}: translated; defaults are those of {this.dialect}"]
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
        flags: those of recommend that the user gave; `data` and `rules` go into the recipe.
        overrides: the others, as `key=value`.
        frames: training frames in one pass, where the user says so.
        pick: which of several commands.
        out: where the recipe will be written, the name that findings show.

    Raises:
        RecipeError: no file, no command, or a command that makes no recipe.
    """
    from dpdrun.commands._measured import section_of
    from dpdrun.readers.opendpd_command import translate
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
    )
    try:
        loaded = load_text(translation.text, out or "recipe", overrides)
    except RecipeError as error:
        raise RecipeError(f"{translation.where}: the command makes no recipe that trains:\n{error}") from None
    return FromCommand(translation, loaded)


def _script(given: str) -> tuple[str, str]:
    """The text and its name for messages."""
    if given == "-":
        return sys.stdin.buffer.read(MAX_BYTES).decode("utf-8", errors="replace"), "standard input"
    path = Path(given)
    if "\n" in given or len(given) > 1000 or (" " in given.strip() and not path.exists()):
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
