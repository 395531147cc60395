import numpy as np
import pytest
from scipy.stats import multivariate_normal

from scoring.voices import voices
from speaker_id import scoring
from speaker_id.errors import ConfigError, DataError
from speaker_id.scoring.two_covariance import TwoCovariance, fit_two_covariance


def random_covariance(dim: int, rng: np.random.Generator) -> np.ndarray:
    root = rng.normal(size=(dim, dim + 2))
    return root @ root.T / dim


def covariances(model: TwoCovariance) -> tuple[np.ndarray, np.ndarray]:
    """The model's speaker and session covariances, in the coordinates of the data."""
    back = np.linalg.inv(model.transform)
    return back.T * model.psi @ back, back.T @ back


def log_likelihood(model: TwoCovariance, rows: np.ndarray, numbers: np.ndarray) -> float:
    """Brute force: all recordings of a speaker are one draw from one big Gaussian."""
    between, within = covariances(model)
    total = 0.0
    for number in np.unique(numbers):
        group = rows[numbers == number]
        joint = np.kron(np.ones((len(group), len(group))), between) + np.kron(np.eye(len(group)), within)
        total += multivariate_normal(np.tile(model.mean, len(group)), joint).logpdf(group.ravel())
    return total


def drawn(counts: np.ndarray, between: np.ndarray, within: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    numbers, dim = np.repeat(np.arange(len(counts)), counts), len(between)
    people = rng.multivariate_normal(np.ones(dim), between, size=len(counts))
    return people[numbers] + rng.multivariate_normal(np.zeros(dim), within, size=len(numbers)), numbers


def test_a_score_in_one_dimension_worked_by_hand() -> None:
    # Speakers and sessions vary by 1: one person's x and y have covariance [[2, 1], [1, 2]], two people's 2 I.
    # At x = y = 1: -log(3)/2 - 1/3, against -log(4)/2 - 1/2.
    model = TwoCovariance(np.zeros(1), np.ones((1, 1)), np.ones(1))
    score = model.prepare(np.ones((2, 1))).score([0], [1])[0]
    assert score == pytest.approx(np.log(4 / 3) / 2 + 1 / 6, abs=1e-6)


def test_scores_are_the_likelihood_ratios_of_the_gaussians() -> None:
    rng, dim = np.random.default_rng(4), 5
    between, within = random_covariance(dim, rng), random_covariance(dim, rng)
    rows, numbers = drawn(np.full(40, 3), between, within, seed=5)
    model = fit_two_covariance(rows, numbers, iterations=3)
    between, within = covariances(model)
    one = multivariate_normal(
        np.tile(model.mean, 2), np.block([[between + within, between], [between, between + within]])
    )
    alone = multivariate_normal(model.mean, between + within)
    enrol, test = scoring.pair_indices(20)
    pairs = np.hstack([rows[enrol], rows[test]])
    expected = one.logpdf(pairs) - alone.logpdf(rows[enrol]) - alone.logpdf(rows[test])
    np.testing.assert_allclose(model.prepare(rows[:20]).score(enrol, test), expected, atol=1e-4)


def test_the_covariances_that_data_were_drawn_from_are_found() -> None:
    rng, dim = np.random.default_rng(6), 3
    between, within = random_covariance(dim, rng), random_covariance(dim, rng)
    counts = rng.integers(1, 9, size=4000)
    found_between, found_within = covariances(
        fit_two_covariance(*drawn(counts, between, within, seed=7), iterations=20)
    )
    np.testing.assert_allclose(found_between, between, atol=0.07 * np.trace(between))
    np.testing.assert_allclose(found_within, within, atol=0.02 * np.trace(within))


def test_every_step_of_em_raises_the_likelihood() -> None:
    rng, dim = np.random.default_rng(8), 3
    counts = rng.integers(1, 6, size=60)
    rows, numbers = drawn(counts, random_covariance(dim, rng), random_covariance(dim, rng), seed=9)
    likelihoods = [log_likelihood(fit_two_covariance(rows, numbers, iterations=i), rows, numbers) for i in range(8)]
    assert (np.diff(likelihoods) > 0).all()


def test_the_best_likelihood_lies_nowhere_near_but_where_em_ends() -> None:
    rng, dim = np.random.default_rng(10), 2
    rows, numbers = drawn(rng.integers(1, 6, size=60), np.eye(dim), random_covariance(dim, rng), seed=11)
    model = fit_two_covariance(rows, numbers, iterations=500)
    best = log_likelihood(model, rows, numbers)
    for factor in (0.9, 1.1):
        assert log_likelihood(model._replace(psi=model.psi * factor), rows, numbers) < best
        assert log_likelihood(model._replace(transform=model.transform * factor), rows, numbers) < best


def test_equally_many_recordings_each_have_their_maximum_in_closed_form() -> None:
    """Iterations change little: the start is there already, but for dividing by K - 1 instead of K."""
    rng = np.random.default_rng(12)
    rows, numbers = drawn(np.full(300, 5), np.eye(3), random_covariance(3, rng), seed=13)
    start, end = (covariances(fit_two_covariance(rows, numbers, iterations=i)) for i in (0, 200))
    np.testing.assert_allclose(start, end, atol=0.01)


def test_shrinkage_draws_the_sessions_covariance_towards_a_sphere_of_the_same_size() -> None:
    rows, numbers = drawn(np.full(50, 4), np.eye(2), np.diag([9.0, 1.0]), seed=14)
    spreads, sizes = [], []
    for shrinkage in (0.0, 0.5, 0.999):
        within = covariances(fit_two_covariance(rows, numbers, iterations=0, shrinkage=shrinkage))[1]
        spreads.append(np.ptp(np.linalg.eigvalsh(within)))
        sizes.append(np.trace(within))
    assert spreads[1] == pytest.approx(spreads[0] / 2, rel=1e-6)
    assert spreads[2] == pytest.approx(spreads[0] / 1000, rel=1e-3)
    assert sizes == pytest.approx([sizes[0]] * 3)


def test_fewer_recordings_than_dimensions_need_shrinkage_or_lda() -> None:
    cohort = voices(12, per_speaker=2, dim=24)
    with pytest.raises(DataError, match=r"24 dimensions.* only 12 more recordings than speakers.*lda_dim.*shrinkage"):
        scoring.Plda().fit(*cohort)
    for helped in (scoring.Plda(shrinkage=0.1), scoring.Plda(lda_dim=5)):
        helped.fit(*cohort)
        assert np.isfinite(helped.prepare(cohort.rows).all_pairs()).all()


def test_repeated_recordings_show_no_variation() -> None:
    cohort = voices(30, per_speaker=1)
    with pytest.raises(DataError, match="recordings repeat each other"):
        scoring.Plda().fit(np.repeat(cohort.rows, 3, axis=0), np.repeat(cohort.speakers, 3))


@pytest.mark.parametrize("back_end", [scoring.Plda(shrinkage=0.5), scoring.LdaCosine(dim=1)], ids=["plda", "lda"])
def test_one_recording_of_each_or_one_speaker_is_refused(back_end: scoring.PreparingBackEnd) -> None:
    cohort = voices(30, per_speaker=1)
    with pytest.raises(DataError, match="each of the 30 speakers has a single recording"):
        back_end.fit(*cohort)
    with pytest.raises(DataError, match="all 30 recordings are by one"):
        back_end.fit(cohort.rows, ["ann"] * 30)


@pytest.mark.parametrize("options", [{"lda_dim": 0}, {"iterations": -1}, {"shrinkage": 1.0}, {"shrinkage": -0.1}])
def test_options_that_make_no_sense_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="lda_dim"):
        scoring.Plda(**options)


@pytest.mark.parametrize("options", [{}, {"lda_dim": 12}, {"length_norm": False}, {"shrinkage": 0.05}], ids=str)
def test_plda_beats_the_cosine_where_speakers_and_sessions_vary_in_other_directions(options: dict[str, float]) -> None:
    back_end, evaluation = scoring.Plda(**options), voices(60, seed=2)
    back_end.fit(*voices(200, seed=1))
    assert evaluation.eer(back_end) < evaluation.eer(scoring.Cosine()) / 1.5


def test_plda_scores_are_calibrated_where_the_model_is_true() -> None:
    """Over trials, e^-LLR has the mean 1 for targets, and e^LLR for nontargets: what makes it a likelihood ratio."""
    rng = np.random.default_rng(15)
    between, within = 0.3 * np.eye(2), random_covariance(2, rng)
    model = fit_two_covariance(*drawn(np.full(3000, 4), between, within, seed=16), iterations=5)
    rows, numbers = drawn(np.full(20000, 2), between, within, seed=17)
    prepared, first = model.prepare(rows), np.arange(0, 40000, 2)
    target, nontarget = prepared.score(first, first + 1), prepared.score(first, np.roll(first, 1))
    assert (numbers[first] == numbers[first + 1]).all()
    assert np.exp(-target.astype(float)).mean() == pytest.approx(1, abs=0.05)
    assert np.exp(nontarget.astype(float)).mean() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("length_norm", [True, False])
def test_the_model_is_fitted_to_centred_rows_of_unit_length_when_asked_to(length_norm: bool) -> None:
    cohort, rows = voices(80, seed=1), voices(5, seed=2).rows
    back_end = scoring.Plda(length_norm=length_norm, iterations=4)
    back_end.fit(*cohort)
    before = [part - cohort.rows.mean(axis=0) for part in (cohort.rows, rows)]
    before = [scoring.normalise(part) if length_norm else part for part in before]
    numbers = np.repeat(np.arange(80), 6)
    by_hand = fit_two_covariance(before[0].astype(float), numbers, iterations=4).prepare(before[1].astype(float))
    np.testing.assert_allclose(back_end.prepare(rows).all_pairs(), by_hand.all_pairs(), atol=1e-2)
