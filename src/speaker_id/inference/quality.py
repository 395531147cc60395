"""What a recording must have before it is worth embedding."""

from speaker_id import audio
from speaker_id.contracts import FloatArray
from speaker_id.errors import NoSpeech, TooShort

MIN_SECONDS = 0.5  # below, an embedding says more about the word than about the voice


def check_recording(waveform: FloatArray, sample_rate: int, *, name: str) -> None:
    """Raise TooShort or NoSpeech, naming the recording, unless (S,) is long enough and not silent."""
    seconds = len(waveform) / sample_rate
    if seconds < MIN_SECONDS:
        raise TooShort(f"{name} is {seconds:.3f} s long, at least {MIN_SECONDS} s are needed: record more speech")
    if audio.is_silent(waveform):
        raise NoSpeech(f"{name} is silent: check the microphone and record again")
