from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llreval.pav_rocch import PAV, ROCCH
from scipy.stats import norm
from sklearn.metrics import roc_curve

from speaker_id import metrics
from speaker_id.errors import ConfigError, DataError

Trials = tuple[np.ndarray, np.ndarray]


@st.composite
def tied_trials(draw: st.DrawFn) -> Trials:
    """Few distinct scores, so that ties within and across the kinds are the rule."""
    flags = draw(st.lists(st.booleans(), min_size=2, max_size=40).filter(lambda flags: len(set(flags)) == 2))
    scores = draw(st.lists(st.integers(-5, 5), min_size=len(flags), max_size=len(flags)))
    return np.array(scores, dtype=np.float32) / 7, np.array(flags)


def gaussian_trials(distance: float, num: int, seed: int) -> Trials:
    rng = np.random.default_rng(seed)
    flags = np.arange(num) % 3 == 0
    return rng.normal(size=num) + distance * flags, flags


# error_rates


def test_operating_points_worked_by_hand() -> None:
    thresholds, fpr, fnr = metrics.error_rates([0.9, 0.5, 0.5, 0.1], [True, True, False, False])
    assert thresholds.tolist() == [0.1, 0.5, 0.9, np.inf]
    assert fpr.tolist() == [1.0, 0.5, 0.0, 0.0]
    assert fnr.tolist() == [0.0, 0.0, 0.5, 1.0]


def test_equal_scores_share_one_operating_point() -> None:
    thresholds, fpr, fnr = metrics.error_rates([0.3] * 10, [True, False] * 5)
    assert thresholds.tolist() == [0.3, np.inf]
    assert fpr.tolist() == [1.0, 0.0]
    assert fnr.tolist() == [0.0, 1.0]


@given(tied_trials())
def test_each_operating_point_counts_what_its_threshold_accepts(trials: Trials) -> None:
    scores, flags = trials
    for threshold, fpr, fnr in zip(*metrics.error_rates(scores, flags), strict=True):
        assert fpr == pytest.approx(np.mean(scores[~flags] >= threshold))
        assert fnr == pytest.approx(np.mean(scores[flags] < threshold))


def test_operating_points_agree_with_scikit_learn() -> None:
    scores, flags = gaussian_trials(1.5, 500, seed=1)
    theirs_fpr, theirs_tpr, theirs_thresholds = roc_curve(flags, scores, drop_intermediate=False)
    thresholds, fpr, fnr = metrics.error_rates(scores, flags)
    np.testing.assert_array_equal(thresholds, theirs_thresholds[::-1])
    np.testing.assert_allclose(fpr, theirs_fpr[::-1], atol=1e-12)
    np.testing.assert_allclose(1 - fnr, theirs_tpr[::-1], atol=1e-12)


# EER


@pytest.mark.parametrize("flags", [[1] * 5 + [0] * 5, [0] * 5 + [1] * 5, [1, 0] * 5, [0] + [1] * 9])
def test_ten_equal_scores_give_one_half_whatever_the_order_of_the_labels(flags: list[int]) -> None:
    assert metrics.eer([0.25] * 10, flags) == (0.5, 0.25)
    assert metrics.rocch_eer([0.25] * 10, flags) == 0.5


def test_eer_worked_by_hand() -> None:
    # At 0.4 fpr = 2/4, fnr = 0/2; at 0.5 fpr = 1/4, fnr = 0/2; at 0.6 fpr = 1/4, fnr = 1/2: the line between the last
    # two meets fpr = fnr at 1/4, and both are equally far from it.
    scores, flags = [0.5, 0.9, 0.1, 0.2, 0.4, 0.6], [1, 1, 0, 0, 0, 0]
    assert metrics.eer(scores, flags) == (0.25, 0.5)
    # The hull goes from (fpr 1/4, fnr 0) straight to (0, 1/2) and meets fpr = fnr at 1/6.
    assert metrics.rocch_eer(scores, flags) == pytest.approx(1 / 6)


def test_separated_kinds_have_no_error_at_the_lowest_target_score() -> None:
    assert metrics.eer([3.0, 1.0, 2.0, 4.0], [1, 0, 0, 1]) == (0.0, 3.0)
    assert metrics.rocch_eer([3.0, 1.0, 2.0, 4.0], [1, 0, 0, 1]) == 0.0


def test_kinds_the_wrong_way_round_are_all_wrong() -> None:
    assert metrics.eer([1.0, 2.0, 3.0, 4.0], [1, 1, 0, 0]).eer == 1.0
    assert metrics.rocch_eer([1.0, 2.0, 3.0, 4.0], [1, 1, 0, 0]) == 0.5  # the hull may guess


def test_two_gaussians_two_deviations_apart_have_the_eer_of_theory() -> None:
    trials = gaussian_trials(2.0, 300_000, seed=2)
    assert metrics.eer(*trials).eer == pytest.approx(norm.cdf(-1), abs=2e-3)
    assert metrics.eer(*trials).threshold == pytest.approx(1.0, abs=2e-2)


@given(tied_trials())
def test_the_search_finds_the_crossing_of_the_full_list_of_operating_points(trials: Trials) -> None:
    thresholds, fpr, fnr = metrics.error_rates(*trials)
    after = int(np.flatnonzero(fnr >= fpr)[0])
    step = (fpr[after - 1] - fnr[after - 1]) / (fpr[after - 1] - fnr[after - 1] + fnr[after] - fpr[after])
    result = metrics.eer(*trials)
    assert result.eer == pytest.approx(fnr[after - 1] + step * (fnr[after] - fnr[after - 1]), abs=1e-12)
    at = int(np.flatnonzero(thresholds == np.float32(result.threshold))[0])
    assert abs(fpr - fnr)[at] == pytest.approx(abs(fpr - fnr).min(), abs=1e-12)
    assert np.isfinite(result.threshold)


@given(tied_trials(), st.randoms())
def test_order_and_rising_maps_change_no_rate(trials: Trials, random: object) -> None:
    scores, flags = trials
    order = np.arange(scores.size)
    random.shuffle(order)  # type: ignore[attr-defined]
    before = metrics.verification_metrics(scores, flags)
    after = metrics.verification_metrics(np.exp(3 * scores[order]) - 10, flags[order])
    for name in ("eer", "tpr", "fpr", "min_dcf", "min_dcf_05"):
        assert getattr(before, name) == getattr(after, name), name


@given(tied_trials())
def test_negated_scores_of_swapped_kinds_have_the_same_eer(trials: Trials) -> None:
    scores, flags = trials
    assert metrics.eer(-scores, ~flags).eer == pytest.approx(metrics.eer(scores, flags).eer, abs=1e-12)


@given(tied_trials())
def test_hull_eer_is_the_lowest_mixture_of_two_thresholds(trials: Trials) -> None:
    _, fpr, fnr = metrics.error_rates(*trials)
    lowest = min(np.maximum(fpr, fnr))
    for a, b in combinations(range(fpr.size), 2):
        gap_a, gap_b = fpr[a] - fnr[a], fnr[b] - fpr[b]
        if gap_a > 0 and gap_b > 0:
            lowest = min(lowest, fnr[a] + gap_a / (gap_a + gap_b) * (fnr[b] - fnr[a]))
    assert metrics.rocch_eer(*trials) == pytest.approx(lowest, abs=1e-12)
    assert metrics.rocch_eer(*trials) <= metrics.eer(*trials).eer + 1e-12


@pytest.mark.parametrize("seed", range(5))
def test_hull_eer_and_min_dcf_agree_with_llreval(seed: int) -> None:
    scores, flags = gaussian_trials(1.0 + seed / 2, 2000, seed)
    scores = scores.round(2)
    hull = ROCCH(PAV(scores, flags.astype(int)))
    assert metrics.rocch_eer(scores, flags) == pytest.approx(hull.EER(), abs=1e-6)
    for p_target in (0.01, 0.05, 0.7):
        theirs = hull.Bayes_error_rate(np.log(p_target / (1 - p_target))) / min(p_target, 1 - p_target)
        assert metrics.min_dcf(scores, flags, p_target=p_target).min_dcf == pytest.approx(theirs)


# minDCF


def test_min_dcf_worked_by_hand() -> None:
    # p = 0.01: fpr 1/4 at 0.5 costs 0.99 / 4 / 0.01 = 24.75; fnr 1/2 at 0.9 costs 1/2.
    scores, flags = [0.5, 0.9, 0.1, 0.2, 0.4, 0.6], [1, 1, 0, 0, 0, 0]
    assert metrics.min_dcf(scores, flags) == (0.5, 0.9)
    # p = 0.5, a miss three times as dear: at 0.5 it costs 0.5 * 0.25 / 0.5 = 1/4, at 0.9 it costs 3/2.
    assert metrics.min_dcf(scores, flags, p_target=0.5, c_miss=3) == (0.25, 0.5)


def test_nobody_is_accepted_where_every_threshold_costs_more() -> None:
    assert metrics.min_dcf([1.0, 2.0], [1, 0]) == (1.0, np.inf)


@given(tied_trials(), st.floats(0.001, 0.999), st.floats(0.1, 10), st.floats(0.1, 10))
def test_target_scores_hold_the_lowest_cost_of_all_operating_points(
    trials: Trials, p_target: float, c_miss: float, c_fa: float
) -> None:
    _, fpr, fnr = metrics.error_rates(*trials)
    costs = p_target * c_miss * fnr + (1 - p_target) * c_fa * fpr
    result = metrics.min_dcf(*trials, p_target=p_target, c_miss=c_miss, c_fa=c_fa)
    assert result.min_dcf == pytest.approx(costs.min() / min(p_target * c_miss, (1 - p_target) * c_fa))
    assert 0 <= result.min_dcf <= 1 + 1e-12


# rates at a threshold


def test_a_score_equal_to_the_threshold_is_accepted() -> None:
    assert metrics.rates_at([0.5, 0.5, 0.4], [1, 0, 0], 0.5) == (1.0, 0.5, 0.0)


def test_a_float32_score_just_below_the_threshold_is_refused() -> None:
    assert float(np.float32(0.7)) < 0.7
    assert metrics.rates_at(np.float32([0.7, 0.1]), [1, 0], 0.7).tpr == 0.0


@given(tied_trials(), st.floats(0, 1))
def test_tpr_at_fpr_is_the_best_real_threshold_within_the_limit(trials: Trials, limit: float) -> None:
    _, fpr, fnr = metrics.error_rates(*trials)
    assert metrics.tpr_at_fpr(*trials, limit) == pytest.approx(1 - fnr[fpr <= limit].min())


@given(tied_trials())
def test_tpr_at_fpr_allows_exactly_the_rates_that_occur(trials: Trials) -> None:
    _, fpr, fnr = metrics.error_rates(*trials)
    for limit in fpr:
        assert metrics.tpr_at_fpr(*trials, limit) == pytest.approx(1 - fnr[fpr <= limit].min())


# the summary


@given(tied_trials())
def test_the_summary_repeats_the_single_measures(trials: Trials) -> None:
    summary = metrics.verification_metrics(*trials)
    assert (summary.eer, summary.threshold) == metrics.eer(*trials)
    rates = metrics.rates_at(*trials, summary.threshold)
    assert (summary.tpr, summary.fpr) == pytest.approx((rates.tpr, rates.fpr))
    assert summary.min_dcf == metrics.min_dcf(*trials).min_dcf
    assert summary.min_dcf_05 == metrics.min_dcf(*trials, p_target=0.05).min_dcf
    counts = (summary.num_trials, summary.num_targets, summary.num_nontargets)
    assert counts == (trials[1].size, trials[1].sum(), (~trials[1]).sum())


def test_scores_and_labels_of_the_caller_stay_as_they_are() -> None:
    scores, flags = np.float32([3, 1, 2, 0]), np.array([True, False, True, False])
    metrics.verification_metrics(scores, flags)
    assert scores.tolist() == [3, 1, 2, 0]
    assert flags.tolist() == [True, False, True, False]


# the interval


def speaker_trials(num_speakers: int, per_speaker: int, seed: int) -> tuple[np.ndarray, ...]:
    """All pairs of noisy points around speaker centres: scores, is_target, enrol and test speakers."""
    rng = np.random.default_rng(seed)
    speakers = np.repeat(np.arange(num_speakers), per_speaker)
    points = rng.normal(size=(num_speakers, 4))[speakers] + 0.7 * rng.normal(size=(speakers.size, 4))
    first, second = np.triu_indices(speakers.size, 1)
    scores = -np.linalg.norm(points[first] - points[second], axis=1)
    return scores, speakers[first] == speakers[second], speakers[first], speakers[second]


def repeated(trials: tuple[np.ndarray, ...], drawn: np.ndarray) -> Trials:
    """The trials of the drawn speakers written out one by one, copies of a speaker counting as different people."""
    rows = [
        row
        for row, (enrol, test) in enumerate(zip(trials[2], trials[3], strict=True))
        for a, person in enumerate(drawn)
        for b, other in enumerate(drawn)
        if (person, other) == (enrol, test) and (a == b or enrol != test)
    ]
    return trials[0][rows], trials[1][rows]


def test_a_draw_equals_the_eer_of_the_drawn_speakers_written_out() -> None:
    trials = speaker_trials(6, 3, seed=3)
    seed = 11
    interval = metrics.eer_interval(*trials, rng=np.random.default_rng(seed), num_draws=1)
    drawn = np.random.default_rng(seed).integers(6, size=6)
    assert len(set(drawn)) < 6
    expected = metrics.eer(*repeated(trials, drawn)).eer
    assert interval == pytest.approx((expected, expected), abs=1e-12)


def test_the_interval_encloses_the_eer_and_narrows_with_more_speakers() -> None:
    widths = []
    for num_speakers in (10, 40):
        trials = speaker_trials(num_speakers, 5, seed=4)
        low, high = metrics.eer_interval(*trials, rng=np.random.default_rng(0), num_draws=200)
        assert low < metrics.eer(*trials[:2]).eer < high
        widths.append(high - low)
    assert widths[1] < 0.7 * widths[0]


def test_quantile_levels_move_the_interval_by_little(monkeypatch: pytest.MonkeyPatch) -> None:
    trials = speaker_trials(20, 4, seed=5)
    exact = metrics.eer_interval(*trials, rng=np.random.default_rng(0), num_draws=50)
    monkeypatch.setattr("speaker_id.metrics.verification.MAX_EXACT_TRIALS", 0)
    monkeypatch.setattr("speaker_id.metrics.verification.NUM_LEVELS", 500)
    levels = metrics.eer_interval(*trials, rng=np.random.default_rng(0), num_draws=50)
    assert levels == pytest.approx(exact, abs=2e-3)
    assert levels != exact


def test_two_speakers_drawn_as_one_are_drawn_again() -> None:
    trials = speaker_trials(2, 3, seed=6)
    low, high = metrics.eer_interval(*trials, rng=np.random.default_rng(0), num_draws=20)
    assert low == high == pytest.approx(metrics.eer(*trials[:2]).eer)  # the only usable draw is both, once each


def test_names_serve_as_speakers() -> None:
    scores, flags, enrol, test = speaker_trials(4, 3, seed=7)
    names = np.array(["ann", "bob", "cem", "dov"])
    by_name = metrics.eer_interval(scores, flags, names[enrol], names[test], rng=np.random.default_rng(0), num_draws=9)
    assert by_name == metrics.eer_interval(scores, flags, enrol, test, rng=np.random.default_rng(0), num_draws=9)


# refusals


@pytest.mark.parametrize(
    ("scores", "flags", "message"),
    [
        ([], [], "no trials"),
        ([0.1, 0.2], [True], "one length"),
        ([[0.1, 0.2]], [[True, False]], "one length"),
        ([0.1, np.nan], [True, False], "score 1 .* nan"),
        ([np.inf, 0.1], [True, False], "score 0 .* inf"),
        ([0.1, 0.2], [True, True], "all 2 trials are target"),
        ([0.1, 0.2], [0, 0], "all 2 trials are nontarget"),
        ([0.1, 0.2], [1, 2], "1 and 0"),
        ([0.1, 0.2], ["target", "nontarget"], "1 and 0"),
    ],
)
@pytest.mark.parametrize(
    "measure",
    [
        metrics.error_rates,
        metrics.eer,
        metrics.rocch_eer,
        metrics.min_dcf,
        metrics.verification_metrics,
        lambda scores, flags: metrics.rates_at(scores, flags, 0.0),
        lambda scores, flags: metrics.tpr_at_fpr(scores, flags, 0.1),
        lambda scores, flags: metrics.eer_interval(scores, flags, flags, flags, rng=np.random.default_rng(0)),
    ],
)
def test_unusable_trials_are_refused_by_every_measure(measure, scores, flags, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match=message):
        measure(scores, flags)


def test_labels_that_contradict_the_speakers_are_refused() -> None:
    with pytest.raises(DataError, match="trial 1 is labelled nontarget, but its speakers are b and b"):
        metrics.eer_interval([0.1, 0.2], [1, 0], ["a", "b"], ["a", "b"], rng=np.random.default_rng(0))


def test_missing_speakers_are_refused() -> None:
    with pytest.raises(DataError, match="2 trials need as many speakers"):
        metrics.eer_interval([0.1, 0.2], [1, 0], ["a"], ["a", "b"], rng=np.random.default_rng(0))


@pytest.mark.parametrize("options", [{"p_target": 0}, {"p_target": 1}, {"c_miss": 0}, {"c_fa": -1}])
def test_costs_that_make_no_sense_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        metrics.min_dcf([0.1, 0.2], [0, 1], **options)


def test_thresholds_rates_and_levels_that_make_no_sense_are_refused() -> None:
    trials = speaker_trials(3, 2, seed=0)
    with pytest.raises(ConfigError):
        metrics.rates_at(*trials[:2], np.nan)
    with pytest.raises(ConfigError):
        metrics.tpr_at_fpr(*trials[:2], 1.5)
    with pytest.raises(ConfigError):
        metrics.eer_interval(*trials, rng=np.random.default_rng(0), level=95)
