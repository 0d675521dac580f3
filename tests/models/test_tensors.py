"""Files of tensors: what is written comes back, and nothing else is taken for it."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save, save_file

from dpdrun.errors import RunError
from dpdrun.models import _tensors

TENSORS = {
    "weight": torch.arange(12, dtype=torch.float32).view(3, 4),
    "count": torch.tensor(7, dtype=torch.int64),
    "none": torch.zeros(0, 2),
    "half": torch.ones(3, dtype=torch.bfloat16),
    "state": torch.arange(9, dtype=torch.uint8),
}
ABOUT = {"format": "dpdrun-model-1", "kind": "gru", "progress": '{"step": 5}'}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "m.safetensors"
    _tensors.write(path, TENSORS, ABOUT)
    return path


def raw(header: object, data: bytes = b"") -> bytes:
    """A file in the format of safetensors, written by hand."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_what_is_written_comes_back_and_others_can_read_it(file: Path) -> None:
    for tensors in (_tensors.read(file)[0], load(file.read_bytes())):
        assert tensors.keys() == TENSORS.keys()
        for name, value in TENSORS.items():
            assert torch.equal(tensors[name], value), name
            assert tensors[name].dtype == value.dtype
    assert _tensors.read(file)[1] == ABOUT
    _tensors.read(file)[0]["weight"].add_(1)  # no view of a buffer that is not to be written


def test_weights_that_layers_share_are_written_for_each(tmp_path: Path) -> None:
    shared = torch.arange(6.0)
    _tensors.write(tmp_path / "shared", {"a": shared, "b": shared, "part": shared[2:4]}, ABOUT)
    tensors, _ = _tensors.read(tmp_path / "shared")
    assert {name: each.tolist() for name, each in tensors.items()} == {
        "a": shared.tolist(), "b": shared.tolist(), "part": [2.0, 3.0]
    }  # fmt: skip


def test_the_hash_is_the_sha256_of_the_file_with_its_digits_as_zeros(file: Path) -> None:
    """Found here by other means: a regular expression over the whole file."""
    content = file.read_bytes()
    (found,) = re.findall(rb"[0-9a-f]{64}", content)
    assert hashlib.sha256(content.replace(found, b"0" * 64)).hexdigest() == found.decode()


def test_no_byte_can_be_changed(file: Path) -> None:
    content = file.read_bytes()
    assert len(content) > 400
    for at in range(len(content)):
        for bit in (1, 128):
            file.write_bytes(content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :])
            with pytest.raises(RunError, match=r"m\.safetensors: damaged or not a safetensors file"):
                _tensors.read(file)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(flips=st.dictionaries(st.integers(0, 10_000), st.integers(1, 255), min_size=1, max_size=20))
def test_damage_is_found_wherever_it_is(flips: dict[int, int], file: Path) -> None:
    content = bytearray(WHOLE)
    for at, mask in flips.items():
        content[at % len(WHOLE)] ^= mask
    path = file.with_name("flipped.safetensors")
    path.write_bytes(content)
    if bytes(content) == WHOLE:  # two flips of one byte
        return
    with pytest.raises(RunError, match="damaged or not a safetensors file"):
        _tensors.read(path)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(content=st.binary(max_size=300) | st.binary(max_size=200).map(raw) | st.text(max_size=60).map(raw))
def test_bytes_of_any_kind_are_no_file_of_tensors(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(RunError, match="damaged or not a safetensors file"):
        _tensors.read(path)


def make_whole() -> bytes:
    text = json.dumps({**ABOUT, _tensors.HASH: _tensors.ZEROS, _tensors.HASHED: _tensors.HASHED_WHOLE}, sort_keys=True)
    content = save(TENSORS, metadata={_tensors.HEADER: text})
    return content.replace(_tensors.ZEROS.encode(), hashlib.sha256(content).hexdigest().encode())


WHOLE = make_whole()


def test_the_file_is_what_its_description_says(file: Path) -> None:
    assert file.read_bytes() == WHOLE


def test_no_end_can_be_cut_off(file: Path) -> None:
    assert len(WHOLE) > 400
    for end in range(len(WHOLE)):
        file.write_bytes(WHOLE[:end])
        with pytest.raises(RunError, match="damaged or not a safetensors file"):
            _tensors.read(file)
    file.write_bytes(WHOLE + b"\0")
    with pytest.raises(RunError, match="damaged or not a safetensors file"):
        _tensors.read(file)


F32: Callable[..., dict[str, Any]] = lambda *offsets: {"dtype": "F32", "shape": [1], "data_offsets": list(offsets)}  # noqa: E731
HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "pickle": pickle.dumps({"a": 1}),
    "eight zeros": bytes(8),
    "huge header": struct.pack("<Q", 2**63) + b"{}",
    "header beyond the end": struct.pack("<Q", 400) + b"{}",
    "overlapping": raw({"a": F32(0, 4), "b": F32(0, 4)}, bytes(4)),
    "gap": raw({"a": F32(0, 4), "b": F32(8, 12)}, bytes(12)),
    "beyond the end": raw({"a": F32(0, 400)}, bytes(4)),
    "backwards": raw({"a": F32(4, 0)}, bytes(4)),
    "huge shape": raw({"a": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 0]}}),
    "no such type": raw({"a": {"dtype": "Q99", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
    "deep": raw(b"[" * 100_000),
    "deep inside": raw({"__metadata__": {"dpdrun": "[" * 100_000}}),
    "metadata no strings": raw({"__metadata__": {"dpdrun": 5}}),
    "header no object": raw({"__metadata__": {"dpdrun": "[]"}}),
    "header no strings": raw({"__metadata__": {"dpdrun": '{"step": 5}'}}),
    "header of nobody": raw({"__metadata__": {"epdrun": "{}"}, "a": F32(0, 4)}, bytes(4)),
    "hash without digits": raw({"__metadata__": {"dpdrun": '{"sha256": ""}'}, "a": F32(0, 4)}, bytes(4)),
    "hash lost": raw({"__metadata__": {"dpdrun": '{"sha256_of": ""}'}, "a": F32(0, 4)}, bytes(4)),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_made_to_mislead_is_refused(case: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(HOSTILE[case])
    with pytest.raises(RunError, match=r"x\.safetensors: damaged or not a safetensors file"):
        _tensors.read(path)
    assert path.read_bytes() == HOSTILE[case]


def test_a_torch_file_and_an_archive_are_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(2)}, tmp_path / "torch")
    with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
        archive.writestr("a", b"1")
    np.savez(tmp_path / "numpy.npz", a=np.zeros(3))
    for name in ("torch", "zip", "numpy.npz"):
        with pytest.raises(RunError, match=f"{name}: damaged or not a safetensors file"):
            _tensors.read(tmp_path / name)
    with pytest.raises(RunError, match="none: missing"):
        _tensors.read(tmp_path / "none")
    with pytest.raises(RunError, match="cannot be read: Is a directory"):
        _tensors.read(tmp_path)


@pytest.mark.parametrize(
    "metadata", [None, {"format": "dpdrun-model-1"}, {"dpdrun": '{"format": "dpdrun-model-1"}'}], ids=str
)
def test_a_file_from_before_there_was_a_hash_is_read(metadata: dict[str, str] | None, tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "old", metadata=metadata)
    tensors, header = _tensors.read(tmp_path / "old")
    assert all(torch.equal(tensors[name], value) for name, value in TENSORS.items())
    assert header == ({"format": "dpdrun-model-1"} if metadata else {})


def test_what_does_not_fit_is_named() -> None:
    wanted = {"a": torch.zeros(2), "b": torch.zeros(1)}
    assert _tensors.misfit(wanted, dict(wanted)) is None
    for found, why in (
        ({"a": torch.zeros(2)}, "it has no tensor b"),
        ({**wanted, "b": torch.zeros(2)}, "tensor b is (2,), expected (1,)"),
        ({**wanted, "b": torch.zeros(1, dtype=torch.float64)}, "tensor b is float64, expected float32"),
        ({**wanted, "c": torch.zeros(1)}, "it has an unexpected tensor c"),
    ):
        assert _tensors.misfit(wanted, found) == why
