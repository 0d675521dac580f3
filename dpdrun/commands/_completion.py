"""What the shell completes on TAB: rules, fields, captures, recipes and runs. Quick: nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

Offer = str | tuple[str, str]  # a word, with what the shell may show about it

CAPTURES = (".csv", ".npz", ".npy", ".mat", ".h5", ".hdf5", ".sigmf-meta", ".sigmf-collection", ".cf32", ".tdms", ".wv")
RECIPES = (".yaml", ".yml")
LOGS = (".csv", ".json", ".jsonl")


def complete_rule_or_field(incomplete: str) -> list[Offer]:
    """Complete a code of a rule, or a field of the recipe for `dpdrun explain`."""
    from dpdrun.rules.engine import all_rules

    codes = [(code, rule.summary) for code, rule in all_rules().items() if code.startswith(incomplete)]
    if codes and incomplete:
        return list(codes)
    return [*codes, *_fields(incomplete)]


def complete_override(incomplete: str) -> list[Offer]:
    """Complete KEY=VALUE of `--set`: the key, or after it the words that the field allows."""
    from dpdrun.recipe.describe import field_docs

    key, given, _ = incomplete.partition("=")
    if not given:
        return [(f"{name}=", about) for name, about in _fields(incomplete)]
    words = dict.fromkeys(word for doc in field_docs() if doc.key == key for word in doc.words)
    return [offer for word in words if (offer := f"{key}={word}").startswith(incomplete)]


def complete_capture(incomplete: str) -> list[Offer]:
    """Complete the name of a capture, or a file or folder."""
    from dpdrun.data.sources import list_sources

    names = [(name, info.description) for info in list_sources() for name in _names(info.name)]
    return [*_starting(names, incomplete), *_paths(incomplete, CAPTURES)]


def complete_download(incomplete: str) -> list[Offer]:
    """Complete the name of a capture that can be downloaded."""
    from dpdrun.data.sources import list_sources

    names = [(name, info.description) for info in list_sources() for name in _names(info.name)]
    return [offer for offer in _starting(names, incomplete) if not offer[0].startswith("synthetic/")]


def _names(name: str) -> list[str]:
    """Return the name of a source, and the short one of a measured capture."""
    return [name, name.removeprefix("opendpd/")] if name.startswith("opendpd/") else [name]


def complete_recipe(incomplete: str) -> list[Offer]:
    """Complete the name of a shipped recipe, or a file."""
    return [*complete_shipped(incomplete), *_paths(incomplete, RECIPES)]


def complete_shipped(incomplete: str) -> list[Offer]:
    """Complete the name of a recipe of the package."""
    from dpdrun.recipe.shipped import shipped

    return list(_starting(((each.name, each.about) for each in shipped()), incomplete))


def complete_run(incomplete: str) -> list[Offer]:
    """Complete a run folder under runs/, or another folder."""
    from dpdrun.run.folder import runs_in

    runs = [path.as_posix() for path in runs_in()]
    folders = [path for path in _paths(incomplete, ()) if path.rstrip("/") not in runs]
    return [*(path for path in runs if path.startswith(incomplete)), *folders]


def complete_log(incomplete: str) -> list[Offer]:
    """Complete a run folder, or a log of another program."""
    return [*complete_run(incomplete), *(path for path in _paths(incomplete, LOGS) if not path.endswith("/"))]


def _fields(incomplete: str) -> list[tuple[str, str]]:
    from dpdrun.recipe.describe import field_docs

    docs = {doc.key: doc.description for doc in field_docs()}
    return list(_starting(docs.items(), incomplete))


def _starting(offers: Iterable[tuple[str, str]], incomplete: str) -> Iterator[tuple[str, str]]:
    """Yield the words that begin with what was typed, with the first line of what is said about them."""
    for word, about in offers:
        if word.startswith(incomplete):
            yield word, (about.splitlines() or [""])[0]


def _paths(incomplete: str, suffixes: tuple[str, ...]) -> list[str]:
    """Return folders, with a slash at the end, and files with one of these suffixes."""
    head, slash, tail = incomplete.rpartition("/")
    folder = Path(head + slash or ".")
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return []
    shown = [each for each in entries if each.name.startswith(tail) and (tail or not each.name.startswith("."))]
    return [
        f"{head}{slash}{each.name}{'/' if each.is_dir() else ''}"
        for each in shown
        if each.is_dir() or each.suffix.lower() in suffixes
    ]
