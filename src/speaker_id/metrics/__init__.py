"""How well scores separate target from nontarget trials; pure numpy."""

from speaker_id.metrics.verification import (
    Eer,
    Interval,
    MinDcf,
    Rates,
    VerificationMetrics,
    eer,
    eer_interval,
    error_rates,
    min_dcf,
    rates_at,
    rocch_eer,
    tpr_at_fpr,
    verification_metrics,
)

__all__ = [
    "Eer",
    "Interval",
    "MinDcf",
    "Rates",
    "VerificationMetrics",
    "eer",
    "eer_interval",
    "error_rates",
    "min_dcf",
    "rates_at",
    "rocch_eer",
    "tpr_at_fpr",
    "verification_metrics",
]
