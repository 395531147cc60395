"""A score and an operating point to an answer."""

import math
from collections.abc import Sequence

from speaker_id.contracts import Match, OperatingPoint
from speaker_id.errors import ConfigError
from speaker_id.inference.results import Comparison, Identification

PRIOR = 0.5  # of one speaker, where the caller states none


def check_prior(prior: float) -> None:
    if not 0 < prior < 1:
        raise ConfigError(f"prior is {prior}: it must lie between 0 and 1, both excluded, like 0.5 or 0.01")


def check_threshold(threshold: float) -> None:
    if not math.isfinite(threshold):
        raise ConfigError(f"threshold is {threshold}: it must be a number; scores lie in [-1, 1]")


def moved(point: OperatingPoint | None, threshold: float, source: str) -> OperatingPoint:
    """The operating point with another threshold, which promises no error rate; what a score is worth stays."""
    check_threshold(threshold)
    scale, offset = (None, None) if point is None else (point.llr_scale, point.llr_offset)
    return OperatingPoint(float(threshold), source, llr_scale=scale, llr_offset=offset)


def comparison(score: float, point: OperatingPoint, prior: float) -> Comparison:
    accepted = score >= point.threshold
    llr = llr_of(score, point)
    return Comparison(
        score=score,
        llr=llr,
        probability=probability_of(llr, prior),
        prior=prior,
        calibrated=point.calibrated,
        threshold=point.threshold,
        accepted=accepted,
        reason=f"score {score:.4f} {'>=' if accepted else '<'} threshold {point.threshold:.4f}",
        threshold_source=source_of(point),
    )


def identification(matches: Sequence[Match], point: OperatingPoint, prior: float, limit: int) -> Identification:
    """`matches` are best first, at least two where the gallery has them; `limit` of them are listed."""
    best = matches[0].score if matches else None
    llr = None if best is None else llr_of(best, point)
    accepted = best is not None and best >= point.threshold
    return Identification(
        user=matches[0].user if accepted else None,
        score=best,
        llr=llr,
        probability=probability_of(llr, prior),
        prior=prior,
        calibrated=point.calibrated,
        threshold=point.threshold,
        margin=matches[0].score - matches[1].score if len(matches) > 1 else None,
        candidates=tuple(matches[:limit]),
        reason=_reason(best, point.threshold),
        threshold_source=source_of(point),
    )


def source_of(point: OperatingPoint) -> str:
    """Where the threshold comes from; that nothing says what a score is worth comes first."""
    return point.source if point.calibrated else f"uncalibrated: {point.source}"


def llr_of(score: float, point: OperatingPoint) -> float | None:
    if point.llr_scale is None or point.llr_offset is None:
        return None
    return point.llr_scale * score + point.llr_offset


def probability_of(llr: float | None, prior: float) -> float | None:
    """Of one speaker after hearing, by Bayes' rule: prior odds times likelihood ratio."""
    if llr is None:
        return None
    log_odds = llr + math.log(prior / (1 - prior))
    # exp of a positive number may overflow; of a negative one it only vanishes
    return 1 / (1 + math.exp(-log_odds)) if log_odds >= 0 else math.exp(log_odds) / (1 + math.exp(log_odds))


def _reason(best: float | None, threshold: float) -> str:
    if best is None:
        return "nobody is enrolled"
    return "accepted" if best >= threshold else f"best score {best:.3f} is below the threshold {threshold:.3f}"
