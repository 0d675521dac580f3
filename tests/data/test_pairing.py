"""Input and output from one file, two files, a folder; and what a recipe and the command line say of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io

from dpdrun.data.sources import load_capture, locate_source
from dpdrun.errors import DataError, RecipeError
from dpdrun.recipe.loader import load_text, source_of
from dpdrun.recipe.schema import DataSection, SourceFiles
from tests.data.records import OCTAVE, RATE, X, Y, part_of, read


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_two_files_of_two_formats_and_their_names(here: Path) -> None:
    scipy.io.savemat("tx.mat", {"a": X, "b": Y, "fs": RATE})
    np.save("rx.npy", Y)
    source = "{input: tx.mat, output: rx.npy}"
    with pytest.raises(DataError, match=r"(?s)tx\.mat: which signal is the input\? Give --input-signal NAME"):
        read(source)
    found = read(source, input="a")
    assert np.array_equal(found.records[0].x, X)
    assert np.array_equal(found.records[0].y, Y)
    assert (found.name, found.sample_rate_hz) == ("tx.mat and rx.npy", RATE)


@pytest.mark.parametrize("given", ["pa_input.csv", "pa_output.csv", "folder", "folder/"])
def test_a_partner_is_found_by_its_name(given: str, here: Path) -> None:
    (here / "folder").mkdir()
    for name, z in (("input", X), ("output", Y)):
        table = z.view(float).reshape(-1, 2)
        np.savetxt(here / f"pa_{name}.csv", table, delimiter=",", header="I,Q", comments="", fmt="%.17g")
        scipy.io.savemat(here / "folder" / f"{name}.mat", {"data": z})
    part = part_of(given)
    assert np.array_equal(part.x, X)
    assert np.array_equal(part.y, Y)


def test_one_signal_is_no_capture(here: Path) -> None:
    np.save("tx.npy", X)
    with pytest.raises(DataError, match=r"'\{input: tx\.npy, output: FILE\}'"):
        read("tx.npy")


def test_files_that_contradict_each_other(here: Path) -> None:
    scipy.io.savemat("input.mat", {"x": X, "fs": RATE})
    scipy.io.savemat("output.mat", {"y": Y, "fs": 2 * RATE})
    with pytest.raises(
        DataError, match=r"input\.mat states a sample rate of 1\.536e\+07 Hz, but output\.mat of 3\.072e"
    ):
        read("input.mat")
    scipy.io.savemat("output.mat", {"y": Y[:-1], "fs": RATE})
    with pytest.raises(DataError, match=r"unequal lengths: input\.mat, x has 1,600 .* output\.mat, y has 1,599"):
        load_capture(DataSection(source="input.mat"))


@pytest.mark.parametrize("source", ["synthetic/mild", "opendpd/APA_200MHz"])
def test_names_are_for_files_of_the_user(source: str) -> None:
    with pytest.raises(DataError, match=r"its input and output are known; remove data\.input"):
        read(source, input="x")


def test_columns_are_of_text(here: Path) -> None:
    np.save("pa_input.npy", X)
    with pytest.raises(DataError, match="this is no text file"):
        read("pa_input.npy", columns="I,Q")


APART = {"input": "I_in.txt", "input_q": "Q_in.txt", "output": "I_out.txt", "output_q": "Q_out.txt"}


def test_four_files_of_octave_have_i_and_q_apart() -> None:
    source = "{" + ", ".join(f"{name}: {OCTAVE / file}" for name, file in APART.items()) + "}"
    part = part_of(source)
    whole = scipy.io.loadmat(OCTAVE / "v7.mat")
    assert np.array_equal(part.x, whole["PA_Input"].ravel()[:1100])
    assert np.array_equal(part.y, whole["PA_Output"].ravel()[:1100])
    assert str(source_of(source)) == str(source_of(str(source_of(source))))


@pytest.mark.parametrize(("change", "message"), [
    ({"output_q": OCTAVE / "time.txt"}, "time.txt: no header names its 5 columns"),
    ({"output_q": OCTAVE / "complex.csv"}, "complex.csv: expected one column, I or Q alone"),
    ({"output_q": "auto"}, "Q in a file of its own"),
], ids=("a table", "complex", "one is missing"))  # fmt: skip
def test_one_of_four_files_is_wrong(change: dict[str, Path], message: str) -> None:
    files = {name: OCTAVE / file for name, file in APART.items()} | change
    with pytest.raises(DataError, match=message):
        read("{" + ", ".join(f"{name}: {file}" for name, file in files.items()) + "}")


def test_columns_of_two_lengths_are_no_signal(here: Path) -> None:
    np.savetxt("I.txt", X.real)
    np.savetxt("Q.txt", X.imag[:-1])
    np.savetxt("both.csv", np.stack([Y.real, Y.imag], 1), header="I,Q", delimiter=",", comments="")
    with pytest.raises(DataError, match=r"I\.txt has 1,600 samples and Q\.txt has 1,599"):
        part_of("{input: I.txt, input_q: Q.txt, output: both.csv}")
    np.savetxt("Q.txt", X.imag)
    part = part_of("{input: I.txt, input_q: Q.txt, output: both.csv}")
    assert np.array_equal(part.x, X)
    assert np.array_equal(part.y, Y)


def test_two_files_are_located_for_every_folder(here: Path) -> None:
    found = locate_source(SourceFiles(input="a.cf32", output="synthetic/b.cf32"))
    assert isinstance(found, SourceFiles)
    assert (found.input, found.output) == (str(here / "a.cf32"), str(here / "synthetic" / "b.cf32"))


def test_the_command_line_writes_two_files_as_a_recipe_does() -> None:
    text = "{input: a.cf32, output: b.cf32, dtype: ci16_be}"
    assert source_of("a.csv") == "a.csv"
    assert str(source_of(text)) == text
    recipe = load_text(f"task: pa\ndata: {{source: {text}}}\nmodel: {{kind: gmp}}\n").recipe
    assert recipe.data.source == source_of(text)
    for wrong, message in (("{input: a}", "output: Field required"), ("{input: [", "expected"), ("{}", "input")):
        with pytest.raises(RecipeError, match=message):
            source_of(wrong)


def test_a_capture_of_two_raw_files(here: Path) -> None:
    X.astype("<c8").tofile("a.bin")
    Y.astype("<c8").tofile("b.bin")
    section = DataSection.model_validate(
        {"source": source_of("{input: a.bin, output: b.bin, dtype: cf32}"), "sample_rate_hz": RATE}
    )
    capture = load_capture(section)
    assert np.array_equal(capture.train.x, X[: len(capture.train)])
    assert capture.name == "a.bin and b.bin"
