"""The band of frequencies that mel filters cover."""

from speaker_id.errors import ConfigError


def upper_edge(f_min: float, f_max: float | None, sample_rate: int) -> float:
    """`f_max` in Hz, or half the sample rate for None; raises ConfigError for an empty band or one above that."""
    nyquist = sample_rate / 2
    top = nyquist if f_max is None else f_max
    if not 0 <= f_min < top <= nyquist:
        raise ConfigError(
            f"feature.f_min={f_min} and feature.f_max={top} must satisfy 0 <= f_min < f_max <= {nyquist:g} Hz, "
            f"half of feature.sample_rate={sample_rate}"
        )
    return top
