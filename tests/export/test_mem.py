"""Memory files, read as the page describes them, by no code of this project."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpdrun.export import mat, mem
from dpdrun.export.fixed import FixedPoint
from dpdrun.quantization import calibration, network
from dpdrun.recipe.schema import GRUModel, QuantizationSection
from tests.json_documents import as_documented


@pytest.fixture(scope="module")
def point() -> FixedPoint:
    """A small GRU in words of 14 and 12 bits."""
    rng, H = np.random.default_rng(0), 3
    shapes = {
        "gru.weight_ih_l0": (3 * H, 4), "gru.weight_hh_l0": (3 * H, H), "gru.bias_ih_l0": (3 * H,),
        "gru.bias_hh_l0": (3 * H,), "head.weight": (2, H), "head.bias": (2,), "skip.weight": (2, 4),
    }  # fmt: skip
    weights = {name: 0.4 * rng.standard_normal(shape) for name, shape in shapes.items()}
    net = network.build(GRUModel(kind="gru", hidden=H), weights, scale_x=0.3, scale_y=0.5)
    x = 0.2 * (rng.standard_normal(500) + 1j * rng.standard_normal(500))
    ranges, net = calibration.observe(net, x)
    settings = QuantizationSection(weights=12, activations=14, port=14)
    return FixedPoint(*calibration.quantize(net, ranges, settings), settings, {"change_db": -60.0})


RECORD = 0.2 * np.exp(0.3j * np.arange(200))


def words_of(archive: zipfile.ZipFile, each: dict[str, Any]) -> Any:
    """What Verilog's $readmemh makes of a file, as signed words."""
    text = archive.read(each["file"])
    assert hashlib.sha256(text).hexdigest() == each["sha256"]
    lines = text.decode("ascii").splitlines()
    assert {len(line) for line in lines} == {each["digits"]}
    raw = np.array([int(line, 16) for line in lines])
    assert raw.max() < 2 ** each["bits"]
    return np.where(raw >= 2 ** (each["bits"] - 1), raw - 2 ** each["bits"], raw).reshape(each["shape"])


def test_every_word_is_in_a_file(point: FixedPoint, tmp_path: Path) -> None:
    mem.write(tmp_path / "m.zip", point, {"run": "mine"}, RECORD)
    with zipfile.ZipFile(tmp_path / "m.zip") as archive:
        manifest = as_documented("export_manifest", json.loads(archive.read("manifest.json")))
        assert sorted(archive.namelist()) == sorted([*(each["file"] for each in manifest["files"]), "manifest.json"])
        found = {each["tensor"]: words_of(archive, each) for each in manifest["files"]}
    assert manifest["format"] == "dpdrun-mem-1"
    assert manifest["description"]["run"] == "mine"
    assert manifest["quantization"]["weights"] == 12
    assert manifest["program"] == json.loads(json.dumps(point.program))
    for name, values in point.weights.items():
        np.testing.assert_array_equal(found[name], values)
    assert found["x"].shape == found["y"].shape == (200, 2)
    expected = np.floor(RECORD.real * 2.0 ** point.program["input"]["fraction"] + 0.5)
    np.testing.assert_array_equal(found["x"][:, 0], expected)
    first = (tmp_path / "m.zip").read_bytes()
    mem.write(tmp_path / "m.zip", point, {"run": "mine"}, RECORD)
    assert (tmp_path / "m.zip").read_bytes() == first


@pytest.mark.parametrize("bits", [4, 5, 8, 13, 16, 18, 33])
def test_words_of_any_length_come_back(bits: int) -> None:
    ends = np.array([-(2 ** (bits - 1)), -1, 0, 1, 2 ** (bits - 1) - 1])
    text = mem.to_hex(ends, bits)
    assert text.splitlines()[1].lstrip("137") == "f" * (bits // 4)
    np.testing.assert_array_equal(mem.from_hex(text, bits), ends)


@pytest.mark.parametrize("format_", ["mem", "mat"])
def test_what_is_loaded_is_what_was_written(format_: str, point: FixedPoint, tmp_path: Path) -> None:
    write, load = (mem.write, mem.load) if format_ == "mem" else (mat.write_fixed, mat.load_fixed)
    write(tmp_path / "m", point, {"run": "mine"}, RECORD)
    program, weights = load(tmp_path / "m")
    assert program == json.loads(json.dumps(point.program))
    assert list(weights) == list(point.weights)
    for name, values in point.weights.items():
        np.testing.assert_array_equal(weights[name], values)
