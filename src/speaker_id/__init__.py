"""A speaker-recognition lab: train, evaluate and use speaker-embedding models."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Recognizer", "__version__"]

if TYPE_CHECKING:
    from speaker_id.inference.recognizer import Recognizer


def __getattr__(name: str) -> Any:
    """Load the public face only when it is asked for: `import speaker_id` must not pay for torch."""
    if name == "Recognizer":
        from speaker_id.inference.recognizer import Recognizer

        return Recognizer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
