from __future__ import annotations

from pathlib import Path

import pytest

from dpdrun.data import cache


def test_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPDRUN_CACHE", "~/elsewhere")
    assert cache.cache_dir() == Path.home() / "elsewhere"


@pytest.mark.parametrize(
    ("platform", "variable", "value", "expected"),
    [
        ("linux", "XDG_CACHE_HOME", "/xdg", Path("/xdg/dpdrun")),
        ("linux", "XDG_CACHE_HOME", "", Path.home() / ".cache/dpdrun"),
        ("darwin", "XDG_CACHE_HOME", "/xdg", Path.home() / "Library/Caches/dpdrun"),
        ("win32", "LOCALAPPDATA", "/local", Path("/local/dpdrun")),
        ("win32", "LOCALAPPDATA", "", Path.home() / "AppData/Local/dpdrun"),
    ],
)
def test_platform_folders(
    monkeypatch: pytest.MonkeyPatch, platform: str, variable: str, value: str, expected: Path
) -> None:
    monkeypatch.delenv("DPDRUN_CACHE", raising=False)
    monkeypatch.setattr(cache.sys, "platform", platform)
    monkeypatch.setenv(variable, value)
    assert cache.cache_dir() == expected
