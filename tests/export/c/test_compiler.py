"""Finding a C compiler, and what is said when it fails."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from dpdrun.errors import RunError
from dpdrun.export.c import compiler


def test_cc_names_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", f"{sys.executable} -X dev")
    assert compiler.find() == compiler.Compiler((sys.executable, "-X", "dev"))
    monkeypatch.setenv("CC", "no-such-compiler -m32")
    with pytest.raises(RunError, match=r"CC=no-such-compiler -m32: no such program; unset CC"):
        compiler.find()
    monkeypatch.setenv("CC", "'gcc")
    with pytest.raises(RunError, match=r"CC='gcc: No closing quotation; unset CC"):
        compiler.find()


def test_without_a_compiler_verify_is_refused(no_compiler: None) -> None:
    assert compiler.find() is None
    with pytest.raises(RunError, match=r"--verify compiles the C files, and there is no C compiler here \(gcc, clang"):
        compiler.require()


def test_a_failure_says_what_the_compiler_printed(tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    (tmp_path / "a.c").write_text("int main(void) { return nothing; }\n")
    gcc = compiler.Compiler(("gcc",))
    with pytest.raises(RunError, match=r"(?s)gcc -std=c99 .*failed with exit code 1; nothing was written\n.*nothing"):
        gcc.build(tmp_path, ["a.c"], "a")
    (tmp_path / "a.c").write_text("int main(void) { return 3; }\n")
    gcc.build(tmp_path, ["a.c"], "a")
    with pytest.raises(RunError, match=r"a: failed with exit code 3"):
        gcc.execute(tmp_path, "a")
    assert "gcc" in gcc.name
    assert gcc.compile(tmp_path, "a.c", "a.o") in range(1, 200)


def test_a_program_for_another_machine_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\x7fELF of another machine")
    (tmp_path / "a").chmod(0o755)
    with pytest.raises(RunError, match=r"a: cannot run: .*If CC compiles for another machine"):
        compiler.Compiler(("gcc",)).execute(tmp_path, "a")


def test_a_compiler_may_speak_any_encoding(tmp_path: Path) -> None:
    script = "import sys; sys.stdout.buffer.write(b'gcc (f\\xfcr Debian)\\n'); sys.exit('--version' not in sys.argv)"
    (tmp_path / "cc.py").write_text(script)
    own = compiler.Compiler((sys.executable, str(tmp_path / "cc.py")))
    assert own.name == "gcc (f\ufffdr Debian)"
    with pytest.raises(RunError, match="gcc \\(f\ufffdr Debian"):
        own.build(tmp_path, ["a.c"], "a")
