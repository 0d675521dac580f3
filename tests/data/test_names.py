from __future__ import annotations

import pytest

from dpdrun.data.names import pairs_of, partner_name, parts_of, role_of, words_of

# Names in public scripts, toolboxes and data sets
PUBLIC = [
    ("inDataPA", "outDataPA"), ("PA_Input", "PA_Output"), ("paInput", "paOutput"), ("paInputTrain", "paOutputTrain"),
    ("txWaveTrain", "paOutputTrain"), ("iq_in", "iq_out"), ("results.InputWaveform", "results.OutputWaveform"),
    ("data_in", "data_out"), ("pa_in", "pa_out"), ("paIn.signals.values", "paOut.signals.values"), ("x", "y"),
    ("modOut", "y"), ("PAin", "PAout"), ("tx_signal", "rx_signal"), ("Data.In", "Data.Out"), ("PD.x", "PD.y"),
    ("tx_data", "pa_output"), ("input", "output"), ("nn_input", "nn_output"), ("pa_input", "pa_output"),
    ("xorg", "yorg"), ("in_extraction", "out_extraction"), ("x_target", "y_target"), ("txframe", "rxframe"),
    ("pTx", "pORx"), ("x_orig", "y_base"), ("ofdmModOut", "y_amp"), ("I_in,Q_in", "I_out,Q_out"),
    ("in_I,in_Q", "out_I,out_Q"), ("Input_I,Input_Q", "Output_I,Output_Q"), ("Iin,Qin", "Iout,Qout"),
    ("x_re,x_im", "y_re,y_im"), ("pa_in_real,pa_in_imag", "pa_out_real,pa_out_imag"), ("xI,xQ", "yI,yQ"),
    ("meas.tx", "meas.rx"), ("/source/x", "/source/y"), ("fb.tx_I,fb.tx_Q", "fb.rx_I,fb.rx_Q"),
    ("VSG/I,VSG/Q", "VSA/I,VSA/Q"), ("awg_iq", "vsa_iq"),
]  # fmt: skip


@pytest.mark.parametrize(("x", "y"), PUBLIC)
def test_the_names_of_public_material(x: str, y: str) -> None:
    for names in ([x, y], [y, x], [x, y, "noise", "rms", "b.taps"]):
        assert [pair[:2] for pair in pairs_of(names)] == [(x, y)]


@pytest.mark.parametrize(
    "names",
    [
        ["a", "b"],
        ["first", "second"],
        ["gain_in", "power_out"],  # they differ in more than the role
        ["x", "x2"],
        ["tx_out", "rx_in"],  # each states both roles
        ["PA_In_to_Out"],
        [],
    ],
)
def test_no_pair_is_made_up(names: list[str]) -> None:
    assert pairs_of(names) == []


@pytest.mark.parametrize(
    ("names", "count"),
    [(["iq_in", "iq_out", "iq_in_dpd", "iq_out_dpd"], 2), (["u", "x", "y"], 2), (["x", "y", "z"], 2)],
)
def test_several_pairs_are_all_named(names: list[str], count: int) -> None:
    assert len(pairs_of(names)) == count
    assert parts_of(pairs_of(names)) is None


def test_three_pairs_by_split() -> None:
    names = ["txWaveTrain", "paOutputTrain", "txWaveVal", "paOutputVal", "txWaveTest", "paOutputTest"]
    assert parts_of(pairs_of(names)) == {
        "train": ("txWaveTrain", "paOutputTrain"),
        "val": ("txWaveVal", "paOutputVal"),
        "test": ("txWaveTest", "paOutputTest"),
    }


def test_words() -> None:
    assert words_of("I_in") == ("i", "in")
    assert words_of("txWaveTrain2") == ("tx", "wave", "train", "2")
    assert words_of("gain") == ("gain",)  # not g, a, in
    assert role_of("gain_Q") == (None, ("gain", "q"))


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("pa_input.npy", ("input", "pa_output.npy")),
        ("pa_output.npy", ("output", "pa_input.npy")),
        ("Input_1.txt", ("input", "Output_1.txt")),
        ("OUTPUT.CSV", ("output", "INPUT.CSV")),
        ("tx.csv", None),
    ],
)
def test_the_partner_of_a_file(file: str, expected: tuple[str, str] | None) -> None:
    assert partner_name(file) == expected


def test_a_name_of_thousands_of_letters_is_one_word() -> None:
    assert words_of("x" * 60_000) == ("x" * 60_000,)  # not as many of one letter, looked for in all ways
