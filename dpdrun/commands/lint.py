"""`dpdrun lint`: find settings of recipes that are likely to train badly, and fix them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpdrun.commands._completion import complete_recipe
from dpdrun.commands._options import (
    FailOn,
    FailOnOption,
    FormatOption,
    PluginOption,
    SetOption,
    TextFormat,
    argument,
    exit_on,
    load_plugins,
    print_json,
)
from dpdrun.commands._output import say
from dpdrun.errors import RecipeError

if TYPE_CHECKING:
    from dpdrun.plan.lint import Fixed, Lint
    from dpdrun.recipe.loader import Loaded


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("lint")(lint)


def lint(
    recipes: Annotated[list[Path], argument(metavar="RECIPE", help="Recipes.", autocompletion=complete_recipe)],
    sets: SetOption = None,
    fix: Annotated[bool, typer.Option("--fix", help="Write safe fixes into the recipes.")] = False,
    unsafe_fixes: Annotated[
        bool, typer.Option("--unsafe-fixes", help="With --fix or --diff: include fixes that change what is trained.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show what --fix would change; write nothing.")] = False,
    format_: FormatOption = TextFormat.text,
    fail_on: FailOnOption = FailOn.error,
    plugin: PluginOption = None,
) -> None:
    """Find settings that are likely to train badly, each with its line, the reason and a fix."""
    load_plugins(plugin)
    if unsafe_fixes and not (fix or diff):
        raise RecipeError("--unsafe-fixes needs --fix or --diff")
    if (fix or diff) and sets:
        raise RecipeError("--fix and --diff work on the recipe file: omit --set")
    from dpdrun.plan.lint import RecipeFacts, lint_recipe
    from dpdrun.plan.lint import fix as apply_fixes
    from dpdrun.plan.lint import lint as lint_once
    from dpdrun.recipe.loader import load_recipe

    facts = RecipeFacts(needed=False)
    results: list[Lint] = []
    problems: list[str] = []
    for path in recipes:
        try:
            loaded = load_recipe(path, sets or [])
        except RecipeError as error:
            problems.append(str(error))
            continue
        if fix and loaded.path != path:
            raise RecipeError(f"{path}: a recipe of the package is not changed; `dpdrun recipe copy {path}` copies it")
        if fix or diff:
            done = apply_fixes(loaded, lambda recipe: lint_once(recipe, facts(recipe)), unsafe=unsafe_fixes)
            if diff:
                _print_diff(loaded, done)
                continue
            _write(done)
            loaded = done.loaded
        results.append(lint_recipe(loaded, facts))
    if format_ is TextFormat.json and not diff:
        print_json({"files": [each.to_json() for each in results]})
    else:
        print_lint(results)
    if problems:
        raise RecipeError("\n".join(dict.fromkeys(problems)))
    exit_on((finding for each in results for finding in each.findings), fail_on)


def _print_diff(before: Loaded, done: Fixed) -> None:
    """Print the difference that the fixes make; remarks go to stderr, so that the diff can be applied as it is."""
    from dpdrun.recipe.patch import diff
    from dpdrun.report.findings import later_view

    changes = diff(before.text, done.loaded.text, str(before.path))
    say(changes, nl=False, exact=True)
    if not changes:
        say(f"{before.path}: no finding has a fix that applies here", err=True)
    if done.followed:
        say(later_view(done.followed).plain, err=True)


def _write(done: Fixed) -> None:
    """Write the fixed recipe into the file and print which findings were fixed."""
    from dpdrun.report.findings import later_view
    from dpdrun.run.files import write_text

    path = done.loaded.path
    if not done.applied:
        say(f"{path}: nothing to fix", err=True)
        return
    write_text(path.resolve(), done.loaded.text)  # the file that a link names, not the link
    codes = ", ".join(finding.code for finding in done.applied)
    say(f"{path}: written, {len(done.applied)} fixed ({codes})", err=True)
    if done.followed:
        say(later_view(done.followed).plain, err=True)


def print_lint(results: list[Lint]) -> None:
    """Print the findings of recipes, what their fixes would lead to, and a summary."""
    from dpdrun.report.findings import later_view, lint_summary, lint_view
    from dpdrun.report.terminal import Terminal

    console = Terminal(highlight=False)
    for each in results:
        console.print(lint_view(each), soft_wrap=True)
        if each.after_fixes:
            console.print(later_view(each.after_fixes), soft_wrap=True)
        for skip in each.skipped:
            if skip.failed:  # "no findings" is not what a rule with a bug says
                say(f"note: {skip.reason}", err=True)
    findings = [finding for each in results for finding in each.findings]
    if findings:
        console.print(lint_summary(findings), soft_wrap=True)
