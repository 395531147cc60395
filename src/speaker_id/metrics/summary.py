"""All figures of one evaluation from a single sort."""

from dataclasses import dataclass

from numpy.typing import ArrayLike

from speaker_id.metrics.accuracy import best_accuracy_of, min_total_error_of, total_error_positions
from speaker_id.metrics.cost import bayes_threshold, cost_at, dcf_weights, lowest_cost
from speaker_id.metrics.equal_error import eer_of
from speaker_id.metrics.llr import LlrMap, bits, min_cllr_of
from speaker_id.metrics.rates import check_threshold, rates_within
from speaker_id.metrics.trials import SortedTrials, reachable, sorted_trials

P_TARGETS = {"": 0.01, "_05": 0.05}  # suffix of min_dcf and act_dcf: prior of a target, with unit costs
FPR_LIMITS = {"tpr_at_fpr_001": 0.01, "tpr_at_fpr_0001": 0.001}


@dataclass(frozen=True)
class VerificationMetrics:
    """The numbers of one evaluation. `tpr` and `fpr` hold at `threshold`, the EER threshold."""

    eer: float
    threshold: float
    tpr: float
    fpr: float
    min_dcf: float  # p_target = 0.01, unit costs
    min_dcf_05: float  # p_target = 0.05, unit costs
    num_targets: int
    num_nontargets: int

    @property
    def num_trials(self) -> int:
        return self.num_targets + self.num_nontargets


def verification_metrics(scores: ArrayLike, is_target: ArrayLike) -> VerificationMetrics:
    """The few numbers that are watched during training."""
    trials = sorted_trials(scores, is_target)
    result = eer_of(trials)
    fpr, fnr = trials.rates_at(result.threshold)
    return VerificationMetrics(
        eer=result.eer,
        threshold=result.threshold,
        tpr=float(1 - fnr),
        fpr=float(fpr),
        min_dcf=lowest_cost(trials, dcf_weights(0.01)).min_dcf,
        min_dcf_05=lowest_cost(trials, dcf_weights(0.05)).min_dcf,
        num_targets=trials.target.size,
        num_nontargets=trials.nontarget.size,
    )


def figures(
    scores: ArrayLike,
    is_target: ArrayLike,
    *,
    llr: LlrMap | tuple[float, float] | None = None,
    threshold: float | None = None,
) -> dict[str, float]:
    """Every figure of one system by its key in metrics.json; all are finite.

    Always: eer, threshold (the EER's), tpr and fpr there, min_dcf and min_dcf_05 (p_target 0.01 and 0.05, unit costs),
    tpr_at_fpr_001 and tpr_at_fpr_0001 (false accepts at most 1 % and 0.1 %), min_cllr, accuracy, accuracy_threshold
    and min_total_error. With `llr`, (scale, offset) of `llr = scale * score + offset`: act_dcf, act_dcf_05 and cllr
    too. With a `threshold` that was chosen elsewhere: operating_tpr and operating_fpr, the rates of
    `score >= threshold`. Raises `ConfigError` when the map does not rise or the threshold is nan.
    """
    trials = sorted_trials(scores, is_target)
    return Measure(trials, llr=llr, threshold=threshold)(trials)


class Measure:
    """`figures` of some trials under any weights: what weights cannot change is looked up once."""

    def __init__(
        self, trials: SortedTrials, *, llr: LlrMap | tuple[float, float] | None, threshold: float | None
    ) -> None:
        thresholds = {"": eer_of(trials).threshold}
        if threshold is not None:
            check_threshold(threshold)
            thresholds["operating_"] = threshold
        dtype = trials.target.dtype
        self.fixed = {name: trials.positions(reachable(value, dtype)) for name, value in thresholds.items()}
        self.grid = total_error_positions(trials)
        self.llrs: SortedTrials | None = None
        if llr is not None:
            to_llr = LlrMap(*llr).checked()
            self.llrs = SortedTrials(to_llr(trials.target), to_llr(trials.nontarget))
            self.bits = bits(-self.llrs.target), bits(self.llrs.nontarget)
            self.bayes = {suffix: self.llrs.positions(bayes_threshold(p)) for suffix, p in P_TARGETS.items()}

    def __call__(self, trials: SortedTrials) -> dict[str, float]:
        values = eer_of(trials)._asdict() | self._at_fixed(trials)
        for suffix, p_target in P_TARGETS.items():
            values[f"min_dcf{suffix}"] = lowest_cost(trials, dcf_weights(p_target)).min_dcf
        for name, limit in FPR_LIMITS.items():
            values[name] = rates_within(trials, limit).tpr
        values |= self._of_llrs(trials)
        values["min_cllr"] = min_cllr_of(trials)
        values["accuracy"], values["accuracy_threshold"] = best_accuracy_of(trials)
        values["min_total_error"] = min_total_error_of(trials, self.grid).total_error
        return values

    def _at_fixed(self, trials: SortedTrials) -> dict[str, float]:
        values: dict[str, float] = {}
        for name, positions in self.fixed.items():
            fpr, fnr = trials.rates_of(positions)
            values |= {f"{name}tpr": float(1 - fnr), f"{name}fpr": float(fpr)}
        return values

    def _of_llrs(self, trials: SortedTrials) -> dict[str, float]:
        if self.llrs is None:
            return {}
        values: dict[str, float] = {}
        for suffix, p_target in P_TARGETS.items():
            values[f"act_dcf{suffix}"] = float(cost_at(trials, self.bayes[suffix], dcf_weights(p_target)))
        return values | {"cllr": sum(trials.means(*self.bits)) / 2}
