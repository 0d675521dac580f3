"""Write docs/api.md, the reference of `import dpdrun`, from signatures and docstrings.

python -m dpdrun.api.reference
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import dpdrun
from dpdrun.run.files import write_text

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
HEAD = """# Python reference

<!-- written by `make docs` from the docstrings; do not edit -->

Every name of `import dpdrun`; [python.md](python.md) shows how they work together. Shapes: N samples of a record, B
records or frames of T samples, 2 = (I, Q).

- `PathLike`: a `str` or any `os.PathLike`
- `RecipeLike`: a dict, a path, the name of a recipe of the package, or what `load_recipe` returns
- `Overrides`: a dict of values by dotted key, or a list of `key=value`
- `dpdrun.__version__`: the version
"""
LONGEST = 100  # characters of a signature on one line
FUNCTIONS = ("train", "train_dpd", "load_run", "evaluate", "diagnose", "recommend", "load_recipe", "make_plan")
CLASSES = ("Capture", "Run", "Predistorter", "Scores", "Diagnosis", "Advice", "Plot", "DpdrunError")
SECTION = re.compile(r"(Args|Returns|Raises|Yields|Attributes):\Z")
ENTRY = re.compile(r"([\w, ]+): +(\S.*)\Z")


def documented() -> list[str]:
    """Return the names on the page."""
    return [*FUNCTIONS, *CLASSES, "__version__"]


def page() -> str:
    """Return the content of docs/api.md."""
    parts = [HEAD, "## Functions", *(_function(name, getattr(dpdrun, name), "###") for name in FUNCTIONS)]
    parts += ["## Classes", *(_class(name) for name in CLASSES)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _function(name: str, function: Callable[..., Any], level: str) -> str:
    return f"{level} {name}\n\n```python\n{_signature(name, function)}\n```\n\n{_text(function)}"


def _class(name: str) -> str:
    cls = getattr(dpdrun, name)
    inherited = [base for base in cls.__mro__[1:] if base.__module__.startswith("dpdrun")]
    text = _text(cls)
    for base in inherited:  # what it has from a class that is not public
        if base.__name__ not in CLASSES or base.__name__ == name:
            text += "\n\n" + "\n".join(_sections(inspect.getdoc(base) or "", only="Attributes"))
    return "\n\n".join(part.strip() for part in (f"### {name}\n\n{text}", *_members(name, cls)))


def _members(owner: str, cls: type) -> Iterator[str]:
    """Yield the public methods and properties of a class, in the order of its source."""
    for name, member in vars(cls).items():
        if name.startswith("_") or not (getattr(member, "__doc__", None)):
            continue
        if isinstance(member, property | cached_property):
            getter = member.fget if isinstance(member, property) else member.func
            returns = inspect.signature(getter).return_annotation  # type: ignore[arg-type]
            yield f"#### {owner}.{name}\n\n`{name}: {returns}`\n\n{_text(member)}"
        elif isinstance(member, classmethod | staticmethod) or inspect.isfunction(member):
            bound = getattr(cls, name)
            shown = f"{owner}.{name}" if isinstance(member, classmethod | staticmethod) else name
            yield f"#### {owner}.{name}\n\n```python\n{_signature(shown, bound)}\n```\n\n{_text(bound)}"


def _signature(name: str, function: Callable[..., Any]) -> str:
    """Return a signature as code, a line for each parameter where it is long."""
    signature = inspect.signature(function)
    shown: list[str] = []
    for each in signature.parameters.values():
        if each.kind is each.KEYWORD_ONLY and "*" not in shown:
            shown.append("*")
        if each.name != "self":
            star = "**" if each.kind is each.VAR_KEYWORD else ""
            default = "" if each.default is each.empty else f" = {each.default!r}"
            shown.append(f"{star}{each.name}: {each.annotation}{default}")
    line = f"{name}({', '.join(shown)}) -> {signature.return_annotation}"
    if len(line) <= LONGEST:
        return line
    return f"{name}(\n" + "".join(f"    {each},\n" for each in shown) + f") -> {signature.return_annotation}"


def _text(documented_object: object) -> str:
    return "\n".join(_sections(inspect.getdoc(documented_object) or ""))


def _sections(text: str, only: str = "") -> Iterator[str]:
    """Yield a docstring as Markdown: its entries of arguments, attributes and errors as lists."""
    current, entries = "", list[str]()
    for line in [*text.splitlines(), "End:"]:
        found = SECTION.match(line)
        if (found or line == "End:" or not line.startswith(" ")) and current and line.strip():
            if not only or current == only:
                yield f"{current}:\n"
                yield from entries
                yield ""
            current, entries = "", []
        if line == "End:":
            return
        if found:
            current = found.group(1)
        elif current:
            _add(entries, line.strip(), deeper=line.startswith("     "))
        elif not only:
            yield line


def _add(entries: list[str], line: str, *, deeper: bool) -> None:
    """Add a line of a section to its list."""
    entry = None if deeper else ENTRY.match(line)
    if entry:
        entries.append(f"- `{entry.group(1)}`: {entry.group(2)}")
    elif line and entries:
        entries[-1] += f" {line}"
    elif line:
        entries.append(f"- {line}")


def main() -> None:
    """Write the page."""
    write_text(PAGE, page())
    print(PAGE.relative_to(PAGE.parents[1]))


if __name__ == "__main__":
    main()
