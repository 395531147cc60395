"""User names are data: any text but the empty one. They are stored as they are and never used as paths."""

from speaker_id.errors import GalleryError, UnknownUser


def encode_name(user: str) -> bytes:
    """The bytes a name is stored as. Raises GalleryError for a name that is empty or not valid Unicode."""
    if not user:
        raise GalleryError("a user needs a name: the given one is empty")
    try:
        return user.encode()
    except UnicodeEncodeError as error:
        raise GalleryError(f"the name {shown(user)} is not valid Unicode text: pass it as UTF-8") from error


def shown(user: str, max_chars: int = 60) -> str:
    """A name fit for one line of a terminal or a log: control characters escaped, long ones shortened."""
    name = user if len(user) <= max_chars else f"{user[: max_chars - 1]}…"
    return name if name.isprintable() and name.strip() == name and name else repr(name)


def unknown_user(user: str) -> UnknownUser:
    return UnknownUser(f"nobody called {shown(user)} is enrolled: names must match exactly")


def not_restorable(user: str) -> UnknownUser:
    return UnknownUser(f"{shown(user)} cannot be restored: nobody of that name was removed within the grace time")
