"""The band of frequencies that mel filters cover."""

from speaker_id.errors import ConfigError


def upper_edge(f_min: float, f_max: float | None, sample_rate: int) -> float:
    """`f_max` in Hz, or half the sample rate for None; raises ConfigError for an empty band or one above that."""
    nyquist = sample_rate / 2
    top = nyquist if f_max is None else f_max
    if top > nyquist:
        raise ConfigError(
            f"feature.f_max={top:g} is above {nyquist:g} Hz, half of feature.sample_rate={sample_rate}, where sampling "
            f"leaves nothing to measure; write feature.f_max=null for the whole band, or raise feature.sample_rate to "
            f"{2 * top:g} or more if your recordings have that rate"
        )
    if not 0 <= f_min < top:
        raise ConfigError(
            f"feature.f_min={f_min:g} must lie in 0 <= f_min < f_max, and feature.f_max is {top:g} Hz "
            f"at feature.sample_rate={sample_rate}"
        )
    return top
