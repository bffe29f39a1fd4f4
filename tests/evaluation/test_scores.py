import numpy as np
import pytest
from scipy import stats

from earth_embed.evaluation.scores import Interval, mean_interval, paired_difference, score


def test_scores_by_hand():
    truth, prediction = np.array([1.0, 2.0, 6.0]), np.array([1.0, 3.0, 5.0])
    assert score("regression", truth, prediction) == pytest.approx({"r2": 1 - 2 / 14, "guess": 0})
    # Class 0: precision 1/2, recall 1; class 1: 1, 1/2; class 2 is never predicted; class 3 never
    # true.
    truth, prediction = np.array([0, 1, 1, 2]), np.array([0, 0, 1, 3])
    expected = {"accuracy": 1 / 2, "macro_f1": (2 / 3 + 2 / 3 + 0 + 0) / 4, "guess": 1 / 2}
    assert score("classification", truth, prediction) == pytest.approx(expected)


def test_interval_equals_scipy(rng):
    values = rng.normal(size=7)
    interval = mean_interval(values, 0.9)
    low, high = stats.t.interval(0.9, 6, values.mean(), stats.sem(values))
    assert interval.mean - interval.half_width == pytest.approx(low)
    assert interval.mean + interval.half_width == pytest.approx(high)
    assert mean_interval([0.3]).half_width is None


def test_paired_difference_cancels_what_the_splits_share(rng):
    difficulty = rng.normal(size=5)
    paired = paired_difference(difficulty + 0.1, difficulty)
    assert paired.mean == pytest.approx(0.1)
    assert paired.half_width == pytest.approx(0, abs=1e-12)
    assert mean_interval(difficulty).half_width > 0.1


def test_a_sign_needs_an_interval_that_excludes_zero():
    intervals = [Interval(*values) for values in ((2, 1), (-2, 1), (1, 2), (0, 0), (2, None))]
    assert [interval.sign for interval in intervals] == [1, -1, 0, 0, 0]
    assert intervals[1].signed == "-2.000 ± 1.000"
    assert intervals[4].signed == "+2.000"
