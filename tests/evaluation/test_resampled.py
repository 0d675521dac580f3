from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from dpdrun.errors import DataError
from dpdrun.evaluation.prediction import predict
from dpdrun.evaluation.resampled import ResampledPrediction
from dpdrun.rf.resampling import resample
from tests.evaluation.cases import noise, plan_of, random_model


@pytest.mark.parametrize(("record", "of_model", "ratio"), [(3e6, 4e6, Fraction(4, 3)), (4e6, 3e6, Fraction(3, 4))])
def test_a_stream_is_predicted_as_the_complete_record(record: float, of_model: float, ratio: Fraction) -> None:
    model = random_model(plan_of())
    x = resample(noise(30_000), Fraction(1, 2))  # its band ends at a quarter: both rates hold it
    x = np.fft.ifft(np.fft.fft(x) * (np.abs(np.fft.fftfreq(len(x))) < 0.25))
    found = ResampledPrediction(model, record, of_model)
    xs, ys = zip(*found.pairs(iter(np.split(x, [1, 7_000, 7_100]))), strict=True)
    np.testing.assert_array_equal(np.concatenate(xs), x)
    expected = resample(predict(model, resample(x, ratio)), 1 / ratio)[: len(x)]
    np.testing.assert_allclose(np.concatenate(ys), expected, atol=1e-5 * np.abs(expected).max())


def test_what_the_record_cannot_hold_is_counted() -> None:
    """The cube of two tones reaches three times as far; a model at a higher rate holds it, the record does not."""
    model = random_model(plan_of())
    x = 0.3 * np.exp(2j * np.pi * 0.3 * np.arange(8_000)) + 0.3 * np.exp(-2j * np.pi * 0.3 * np.arange(8_000))
    found = ResampledPrediction(model, 1e6, 3e6)
    list(found.pairs(iter([x])))
    y = predict(model, resample(x, Fraction(3)))
    spectrum = np.abs(np.fft.fft(y * np.hanning(len(y)))) ** 2
    beyond = spectrum[np.abs(np.fft.fftfreq(len(y), 1 / 3)) > 0.5].sum() / spectrum.sum()
    assert found.lost_db == pytest.approx(10 * np.log10(beyond), abs=0.3)


def test_a_band_that_the_model_does_not_hold_is_refused() -> None:
    with pytest.raises(DataError, match=r"w\.npy: a sample rate of 1e\+06 Hz .* keeps frequencies up to \+-0\.45 MHz"):
        list(ResampledPrediction(random_model(plan_of()), 2e6, 1e6, name="w.npy").pairs(iter([noise(5000)])))
