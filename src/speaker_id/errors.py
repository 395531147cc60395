"""Every error we raise on purpose. Each message says what was wrong, where, and what to do."""


class SpeakerIdError(Exception):
    """Base of all our errors; entry points print its message without a traceback."""


class AudioError(SpeakerIdError):
    """A recording that cannot be read, or holds nothing usable."""


class TooShort(AudioError):
    """A recording with less sound than the operation needs."""


class NoSpeech(AudioError):
    """A recording in which nobody speaks (silence)."""


class DataError(SpeakerIdError):
    """A data list or trial list that is malformed or does not fit its use."""


class ConfigError(SpeakerIdError):
    """An option or key that does not exist, or a value that does not fit."""


class CheckpointError(SpeakerIdError):
    """A checkpoint, run folder or bundle that cannot be loaded or saved."""


class GalleryError(SpeakerIdError):
    """A gallery that cannot be opened, or an operation it refuses."""


class DoubtfulEnrolment(GalleryError):
    """An enrolment that was refused because it is doubtful who speaks."""


class UnknownUser(GalleryError):
    """A user name that is not enrolled."""


class TrainingError(SpeakerIdError):
    """A training run that cannot go on (loss not finite, disk full)."""
