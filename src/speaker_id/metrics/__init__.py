"""How well scores separate target from nontarget trials; numpy and scipy. Accept means `score >= threshold`.

Every function takes `scores` (M,) and `is_target` (M,) and raises `DataError` when they are empty, of different
lengths, not finite, or of one kind only; options that make no sense raise `ConfigError`. Equal scores share one
operating point, so the order of the trials never matters. float32 scores stay float32: they sort fastest.
"""

from speaker_id.metrics.accuracy import BestAccuracy, MinTotalError, accuracy_threshold, min_total_error
from speaker_id.metrics.bootstrap import Interval, eer_interval, intervals
from speaker_id.metrics.cost import MinDcf, act_dcf, bayes_threshold, dcf_at, min_dcf
from speaker_id.metrics.equal_error import Eer, eer, rocch_eer
from speaker_id.metrics.llr import LlrMap, cllr, min_cllr
from speaker_id.metrics.paired import PairedDifference, paired_differences
from speaker_id.metrics.rates import OperatingRates, Rates, at_fpr, error_rates, rates_at, tpr_at_fpr
from speaker_id.metrics.summary import VerificationMetrics, figures, verification_metrics

__all__ = [
    "BestAccuracy",
    "Eer",
    "Interval",
    "LlrMap",
    "MinDcf",
    "MinTotalError",
    "OperatingRates",
    "PairedDifference",
    "Rates",
    "VerificationMetrics",
    "accuracy_threshold",
    "act_dcf",
    "at_fpr",
    "bayes_threshold",
    "cllr",
    "dcf_at",
    "eer",
    "eer_interval",
    "error_rates",
    "figures",
    "intervals",
    "min_cllr",
    "min_dcf",
    "min_total_error",
    "paired_differences",
    "rates_at",
    "rocch_eer",
    "tpr_at_fpr",
    "verification_metrics",
]
