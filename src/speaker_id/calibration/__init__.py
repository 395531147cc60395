"""What a score is worth, and what a number of trials can promise; pure numpy and scipy.

Log-likelihood ratios (LLRs) are natural logarithms: log p(scores | target) - log p(scores | nontarget).
"""

from speaker_id.calibration.logistic import LogisticCalibration, fit_logistic
from speaker_id.calibration.quality import quality_columns
from speaker_id.calibration.support import FprSupport, fpr_upper_bound, speaker_pairs, supported_fpr

__all__ = [
    "FprSupport",
    "LogisticCalibration",
    "fit_logistic",
    "fpr_upper_bound",
    "quality_columns",
    "speaker_pairs",
    "supported_fpr",
]
