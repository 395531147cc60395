"""A score and an operating point to an answer."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from speaker_id.contracts import FloatArray, Gallery, Match, OperatingPoint
from speaker_id.errors import ConfigError
from speaker_id.inference.names import shown
from speaker_id.inference.results import Comparison, Identification

PRIOR = 0.5  # of one speaker, where the caller states none
ACCEPTED = "accepted"


def check_limit(limit: int) -> None:
    if limit < 1:
        raise ConfigError(f"limit is {limit}: ask for at least one candidate")


def check_prior(prior: float) -> None:
    if not 0 < prior < 1:
        raise ConfigError(f"prior is {prior}: it must lie between 0 and 1, both excluded, like 0.5 or 0.01")


def check_threshold(threshold: float) -> None:
    if not -1 <= threshold <= 1:  # nan neither
        raise ConfigError(f"threshold is {threshold}: scores are cosines, so it must lie between -1 and 1, like 0.6")


def check_margin(min_margin: float | None) -> None:
    if min_margin is not None and not 0 <= min_margin <= 2:
        raise ConfigError(f"min_margin is {min_margin}: it must lie between 0 and 2, like 0.05; scores lie in [-1, 1]")


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


def compared(embeddings: FloatArray, point: OperatingPoint, prior: float) -> Comparison:
    """Two unit rows (2, E) -> whether they are of one speaker."""
    first, second = embeddings.astype(np.float64)
    return comparison(float(np.clip(first @ second, -1.0, 1.0)), point, prior)


def identified(
    embeddings: FloatArray,
    gallery: Gallery,
    point: OperatingPoint,
    *,
    prior: float,
    limit: int,
    min_margin: float | None = None,
    gallery_size_rule: bool | None = None,
) -> list[Identification]:
    """Unit rows (N, E) -> who of a gallery's users each is; the gallery is searched once."""
    found = gallery.search_many(embeddings, limit=max(limit, 2))
    num_users = gallery.num_users()
    return [
        identification(
            matches,
            point,
            prior,
            limit,
            num_users=num_users,
            gallery_size_rule=gallery_size_rule,
            min_margin=min_margin,
        )
        for matches in found
    ]


def identification(
    matches: Sequence[Match],
    point: OperatingPoint,
    prior: float,
    limit: int,
    *,
    num_users: int = 1,
    gallery_size_rule: bool | None = None,
    min_margin: float | None = None,
) -> Identification:
    """`matches` are best first, at least two where the gallery has them; `limit` of them are listed.

    `gallery_size_rule` raises the threshold for `num_users` (`for_gallery_size`); None does where the operating point
    is calibrated and was chosen for a false-accept rate. With `min_margin` nobody is named whose score is not at least
    that much over the next user's.
    """
    if gallery_size_rule is None:
        gallery_size_rule = point.calibrated and point.target_fpr is not None
    if gallery_size_rule:
        point = for_gallery_size(point, num_users)
    best = matches[0].score if matches else None
    llr = None if best is None else llr_of(best, point)
    reason = _reason(matches, point.threshold, min_margin)
    return Identification(
        user=matches[0].user if reason == ACCEPTED else None,
        score=best,
        llr=llr,
        probability=probability_of(llr, prior),
        prior=prior,
        calibrated=point.calibrated,
        threshold=point.threshold,
        margin=matches[0].score - matches[1].score if len(matches) > 1 else None,
        candidates=tuple(matches[:limit]),
        reason=reason,
        threshold_source=source_of(point),
    )


def for_gallery_size(point: OperatingPoint, num_users: int) -> OperatingPoint:
    """The operating point with its threshold raised for N enrolled users, so that strangers stay as rarely named.

    A stranger is compared N times, and by the union bound (Bonferroni) is taken for somebody at most N times as often
    as in one comparison. So one comparison may err N times less often than at the operating point: fpr / N. With real
    voices that is about what is needed (benchmarks/RESULTS.md). Raises ConfigError without calibration.
    """
    if point.llr_scale is None or point.llr_offset is None or point.llr_scale <= 0:
        raise ConfigError(
            "the threshold can be raised for the number of users only where the model is calibrated: "
            "let `python -m speaker_id.calibrate` do so, or pass gallery_size_rule=False"
        )
    if num_users <= 1:
        return point
    llr = point.llr_scale * point.threshold + point.llr_offset
    rise = (_raised_llr(llr, num_users, point.target_fpr) - llr) / point.llr_scale
    source = f"{point.source}; raised by {rise:.4f} because a stranger is compared with {num_users} users"
    return point._replace(threshold=point.threshold + rise, source=source)


def _raised_llr(llr: float, num_users: int, target_fpr: float | None) -> float:
    """The log-likelihood ratio that a stranger reaches N times less often than `llr`, which `target_fpr` reach.

    Calibrated llr that are Gaussian have the means -m and m and the standard deviation s = sqrt(2 m) (van Leeuwen and
    Brümmer, Interspeech 2013): fpr and llr give s, and s the llr at fpr / N. Whatever the distribution, a share of at
    most e^-t of strangers reaches t (Good 1950), so more than log(N / fpr) is never needed. Without a fpr it rises by
    log N, by Bayes' rule for a prior shared by N users.
    """
    if target_fpr is None or not 0 < target_fpr < 0.5:
        return llr + math.log(num_users)
    one, each = (-NormalDist().inv_cdf(fpr) for fpr in (target_fpr, target_fpr / num_users))
    deviation = one + math.sqrt(max(one**2 - 2 * llr, 0.0))  # llr = one * s - s^2 / 2
    return max(llr, min(llr + deviation * (each - one), math.log(num_users / target_fpr)))


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


def _reason(matches: Sequence[Match], threshold: float, min_margin: float | None) -> str:
    if not matches:
        return "nobody is enrolled"
    best = matches[0]
    if best.score < threshold:
        return f"best score {best.score:.3f} is below the threshold {threshold:.3f}"
    if min_margin is not None and len(matches) > 1 and best.score - matches[1].score < min_margin:
        return (
            f"two users are too close: {shown(best.user)} {best.score:.3f} and {shown(matches[1].user)} "
            f"{matches[1].score:.3f}, a margin of {min_margin:g} is asked for"
        )
    return ACCEPTED
