"""Statistics of few runs: against rliable and scipy where they are installed, by enumeration, and by simulation."""

import itertools
import math

import numpy as np
import pytest

from experiments import statistics


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 10, 13])
def test_interquartile_mean_drops_a_quarter_rounded_down_at_each_end(n):
    scores = rng(n).normal(size=n)
    ordered = sorted(scores)
    assert statistics.iqm(scores) == pytest.approx(np.mean(ordered[n // 4 : n - n // 4]))
    stacked = np.stack([scores, scores + 1])
    assert statistics.iqm(stacked) == pytest.approx(statistics.iqm(scores) + np.array([0, 1]))


def test_numbers_are_rliables():
    metrics = pytest.importorskip("rliable.metrics")
    library = pytest.importorskip("rliable.library")
    x, y = rng(1).random((10, 4)), rng(2).random((9, 4))  # runs, tasks
    assert statistics.iqm(x.ravel()) == pytest.approx(metrics.aggregate_iqm(x), abs=1e-12)
    ours = statistics.probability_of_improvement(x.T, y.T)
    assert ours == pytest.approx(metrics.probability_of_improvement(x, y), abs=1e-12)
    taus = np.linspace(0, 1, 11)
    theirs = [library.run_score_deviation(x, tau) for tau in taus]
    assert statistics.performance_profile(x, taus) == pytest.approx(theirs, abs=1e-12)
    _, intervals = library.get_interval_estimates({"x": x}, lambda s: np.array([metrics.aggregate_iqm(s)]), reps=4000)
    low, high = statistics.stratified_bootstrap(list(x.T), rng(3), draws=4000)
    assert (low, high) == pytest.approx(tuple(intervals["x"][:, 0]), abs=0.01)


def test_intervals_of_counts_are_scipys():
    stats = pytest.importorskip("scipy.stats")
    for count, of in [(0, 10), (1, 10), (7, 20), (20, 20), (3, 3)]:
        theirs = stats.binomtest(count, of).proportion_ci(method="exact")
        assert statistics.clopper_pearson(count, of) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@pytest.mark.parametrize(("count", "of"), [(0, 10), (3, 10), (10, 10), (7, 23)])
def test_an_exact_interval_ends_where_the_count_becomes_a_surprise(count, of):
    def at_least(k, p):
        return sum(math.comb(of, i) * p**i * (1 - p) ** (of - i) for i in range(k, of + 1))

    low, high = statistics.clopper_pearson(count, of)
    assert low == 0 if count == 0 else at_least(count, low) == pytest.approx(0.025, abs=1e-9)
    assert high == 1 if count == of else 1 - at_least(count + 1, high) == pytest.approx(0.025, abs=1e-9)


def test_differences_of_a_yes_or_no_have_intervals_that_cover():
    low, high = statistics.exact_difference(np.full(20, -1.0))
    assert low == -1 and -0.7 < high < -0.5  # all 20 agree, and yet there is something to say
    same = statistics.exact_difference(np.zeros(20))
    assert same[0] == -same[1] < -0.1
    generator, covered = rng(9), 0
    for _ in range(400):
        values = generator.choice([-1, 0, 1], 10, p=[0.1, 0.6, 0.3])
        low, high = statistics.exact_difference(values)
        covered += low <= 0.2 <= high
    assert covered >= 0.95 * 400
    for wrong in ([], [0.5, 1.0]):
        with pytest.raises(ValueError, match="-1, 0 or 1"):
            statistics.exact_difference(np.array(wrong))


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_sign_flips_are_enumerated(n):
    values = rng(n).normal(0.5, 1, n)
    sums = [abs(np.dot(signs, values)) for signs in itertools.product([1, -1], repeat=n)]
    expected = np.mean([s >= abs(values.sum()) - 1e-12 for s in sums])
    assert statistics.sign_flip_test(values, rng()) == pytest.approx(expected)


def test_five_seeds_that_agree_have_no_smaller_p_than_a_sixteenth():
    assert statistics.sign_flip_test(np.array([0.1, 0.2, 0.3, 0.4, 0.5]), rng()) == 1 / 16


def test_many_sign_flips_are_drawn_and_agree_with_all_of_them():
    values = rng(4).normal(0.4, 1, 16)
    exact = statistics.sign_flip_test(values, rng())
    padded = np.append(values, 0.0)  # n = 17: the same sums, drawn
    assert statistics.sign_flip_test(padded, rng(), draws=20_000) == pytest.approx(exact, abs=0.01)


def test_signs_of_differences_without_effect_are_seldom_surprising():
    generator = rng(5)
    found = [statistics.sign_flip_test(generator.standard_t(3, 10), generator) <= 0.05 for _ in range(600)]
    assert np.mean(found) < 0.05 + 3 * (0.05 * 0.95 / 600) ** 0.5


@pytest.mark.parametrize(("n", "least"), [(5, 0.92), (10, 0.92)])
def test_studentised_intervals_of_few_seeds_cover_and_percentile_ones_do_not(n, least):
    """1,000 samples: standard error 0.7 %; skewed differences (chi-square)."""
    generator = rng(6)
    studentised = percentile = 0
    for _ in range(1000):
        values = generator.normal(1.0, 1.0, n)
        low, high = statistics.studentised_bootstrap(values, generator, draws=400)
        studentised += low <= 1.0 <= high
        low, high = statistics.stratified_bootstrap([values], generator, statistic=lambda x: x.mean(-1), draws=400)
        percentile += low <= 1.0 <= high
    assert studentised / 1000 > least
    assert percentile < studentised
    if n == 5:
        assert percentile / 1000 < 0.90  # the notorious 84 %


def test_intervals_of_hardly_any_seeds_say_nothing():
    assert statistics.studentised_bootstrap(np.array([0.1, 0.2]), rng()) == (-math.inf, math.inf)
    assert statistics.studentised_bootstrap(np.array([0.2, 0.2, 0.2]), rng()) == pytest.approx((0.2, 0.2))


def test_strata_are_resampled_apart():
    low, high = statistics.stratified_bootstrap([np.full(4, 0.0), np.full(4, 1.0)], rng())
    assert (low, high) == (0.5, 0.5)  # drawn together it would vary
    with pytest.raises(ValueError, match="every stratum"):
        statistics.stratified_bootstrap([np.array([])], rng())


def test_everything_drawn_comes_from_the_generator():
    values = rng(7).normal(size=10)
    for call in (statistics.studentised_bootstrap, lambda v, g: statistics.stratified_bootstrap([v], g)):
        assert call(values, rng(1)) == call(values, rng(1)) != call(values, rng(2))


def test_area_under_curve_is_the_mean_height():
    assert statistics.area_under_curve(np.array([0, 1, 3]), np.array([0.0, 1.0, 1.0])) == pytest.approx(2.5 / 3)
    assert statistics.area_under_curve(np.array([0]), np.array([0.7])) == 0.7
    x = np.sort(rng(8).random(50))
    assert statistics.area_under_curve(x, 3 * x) == pytest.approx(1.5 * (x[0] + x[-1]))


def test_improvement_counts_ties_half():
    assert statistics.probability_of_improvement([[1.0, 2.0]], [[1.0]]) == 0.75
    assert statistics.probability_of_improvement([[1.0], [0.0]], [[0.0], [1.0]]) == 0.5
