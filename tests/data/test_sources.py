from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from dpdrun.data.sources import list_sources, load_capture, locate_source, pull
from dpdrun.errors import DataError
from dpdrun.recipe.schema import DataSection

RNG = np.random.default_rng(0)
TABLE = RNG.standard_normal((6000, 4))
X, Y = TABLE[:, :2] @ [1, 1j], TABLE[:, 2:] @ [1, 1j]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DPDRUN_CACHE", str(tmp_path / "cache"))
    return tmp_path


def load(source: str, **fields: object) -> object:
    return load_capture(DataSection(source=source, **fields))  # type: ignore[arg-type]


def write_csv(path: Path) -> None:
    np.savetxt(path, TABLE, delimiter=",", header="I_in,Q_in,I_out,Q_out", comments="", fmt="%.17g")


def test_the_same_record_in_every_format_is_the_same_capture(here: Path) -> None:
    write_csv(here / "a.csv")
    np.savez(here / "a.npz", x=X, y=Y, sample_rate_hz=1e6)
    np.save(here / "a_input.npy", X)
    np.save(here / "a_output.npy", Y)
    (here / "pair").mkdir()
    np.save(here / "pair" / "input.npy", X)
    np.save(here / "pair" / "output.npy", TABLE[:, 2:])
    (here / "folder").mkdir()
    write_csv(here / "folder" / "data.csv")
    spec = {"dataset_format": "single_csv", "input_signal_fs": 1e6}
    (here / "folder" / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
    sources = ["a.csv", "a.npz", "a_input.npy", "pair", "pair/", "folder", "folder/", str(here / "a.csv")]
    hashes = {load(source, sample_rate_hz=1e6).sha256 for source in sources}  # type: ignore[attr-defined]
    assert len(hashes) == 1


def test_sources_are_listed_without_touching_the_network(here: Path) -> None:
    infos = {info.name: info for info in list_sources()}
    assert {"synthetic/mild", "synthetic/hard", "opendpd/APA_200MHz", "opendpd/DPA_160MHz"} <= infos.keys()
    assert infos["synthetic/hard"].ready
    assert not infos["opendpd/APA_200MHz"].ready
    assert not (here / "cache").exists()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("a.cvs", r"a\.cvs: no such file or folder; did you mean 'a\.csv'"),
        ("synthetic-hard", r"no such source; did you mean 'synthetic/hard'"),
        ("nowhere/deep/x.csv", r"no such file or folder; .* has: .*a\.csv"),
        ("notes.txt", r"notes\.txt: no table of numbers in this text \(it begins with 'x'\)"),
        ("record.mat", r"record\.mat: no table of numbers"),
        ("noname", r"noname: a file without a known header; .*dtype: TYPE"),
        ("other", r"other: this folder has neither spec\.json.*did you mean other/b\.csv"),
        ("empty", "this folder has neither .* it has: nothing"),
    ],
)
def test_what_is_no_source(here: Path, source: str, message: str) -> None:
    write_csv(here / "a.csv")
    for name in ("notes.txt", "record.mat"):
        (here / name).write_text("x", encoding="utf-8")
    (here / "noname").write_bytes(RNG.bytes(2400))
    (here / "empty").mkdir()
    (here / "other").mkdir()
    write_csv(here / "other" / "b.csv")
    with pytest.raises(DataError, match=message):
        load(source, sample_rate_hz=1e6)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user whom file modes bind")
def test_unreadable_file(here: Path) -> None:
    write_csv(here / "a.csv")
    (here / "a.csv").chmod(0)
    with pytest.raises(DataError, match=r"a\.csv: cannot be read: Permission denied"):
        load("a.csv", sample_rate_hz=1e6)


@pytest.mark.parametrize("name", ["input.npy", "output.npy", "spec.json", "train_input.csv", "data.csv"])
def test_a_link_out_of_a_data_folder_is_refused(name: str, here: Path) -> None:
    """A folder of somebody else must not have our files read, and perhaps shown in an error."""
    folder, secret = here / "folder", here / "secret"
    folder.mkdir()
    secret.write_text("1,2,3,4\n")
    np.save(folder / "input.npy", X)
    np.save(folder / "output.npy", Y)
    if not name.endswith(".npy"):
        (folder / "spec.json").write_text(json.dumps(
            {"dataset_format": "split_csv" if name.startswith("train") else "single_csv", "input_signal_fs": 1e6}
        ))  # fmt: skip
    (folder / name).unlink(missing_ok=True)
    for target in ("../secret", str(secret), "../none", name):
        (folder / name).symlink_to(target)
        if target == name:  # in a circle: it leads nowhere
            with pytest.raises(DataError):
                load("folder", sample_rate_hz=1e6)
        else:
            with pytest.raises(DataError, match=re.escape(f"{name}: a symlink out of this folder, to")) as caught:
                load("folder", sample_rate_hz=1e6)
            assert "1,2,3,4" not in str(caught.value)
        (folder / name).unlink()


def test_a_link_within_a_data_folder_is_followed(here: Path) -> None:
    (here / "folder" / "takes").mkdir(parents=True)
    np.save(here / "folder" / "takes" / "one.npy", X)
    np.save(here / "folder" / "output.npy", Y)
    (here / "folder" / "input.npy").symlink_to("takes/one.npy")
    assert load("folder", sample_rate_hz=1e6).train.x[0] == X[0]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "source",
    ["synthetic/../secret.csv", "opendpd/../secret.csv", "opendpd//etc/issue", "synthetic/", "/dev/null"],
)
def test_a_source_is_a_name_or_a_record_and_nothing_is_fetched_for_another(source: str, here: Path) -> None:
    write_csv(here / "secret.csv")
    with pytest.raises(DataError):
        load(source, sample_rate_hz=1e6)
    assert not (here / "cache").exists()


def test_pull_knows_what_it_can_fetch(here: Path) -> None:
    with pytest.raises(DataError, match="did you mean 'opendpd/DPA_160MHz'"):
        pull("opendpd/DPA_16MHz")
    with pytest.raises(DataError, match="did you mean 'opendpd/APA_200MHz'"):
        pull("APA_200")
    with pytest.raises(DataError, match="embedded"):
        pull("synthetic/hard")


def test_a_source_is_located_for_every_folder(here: Path) -> None:
    assert locate_source("synthetic/hard") == "synthetic/hard"
    assert locate_source("a.csv") == str(here / "a.csv")
    assert locate_source("./synthetic/x/") == str(here / "synthetic" / "x") + "/"
    assert locate_source("/elsewhere/a.csv") == "/elsewhere/a.csv"


def test_a_path_is_shown_short_where_it_is_and_the_current_folder_is_named(here: Path) -> None:
    write_csv(here / "a.csv")
    assert load(str(here / "a.csv"), sample_rate_hz=1e6).name == "a.csv"  # type: ignore[attr-defined]
    with pytest.raises(DataError, match=re.escape(f"did you mean 'a.csv'? (the current folder is {here})")):
        load("a.cvs")


def test_short_names_of_built_in_captures_work_unless_there_is_such_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert locate_source("APA_200MHz") == "opendpd/APA_200MHz"
    assert locate_source("mild") == "synthetic/mild"
    (tmp_path / "mild").mkdir()
    assert locate_source("mild") == str(tmp_path / "mild")
