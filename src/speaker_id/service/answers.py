"""Errors as answers: one shape, and never more than the caller may know."""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from speaker_id.errors import AudioError, ConfigError, DoubtfulEnrolment, SpeakerIdError, UnknownUser
from speaker_id.service.schemas import Refusal

logger = logging.getLogger(__name__)

# What the caller can mend; any other error of ours is the operator's, whose log has the details.
STATUS: dict[type[SpeakerIdError], int] = {UnknownUser: 404, DoubtfulEnrolment: 409, AudioError: 422, ConfigError: 422}

DESCRIPTIONS = {
    400: "The request is malformed.",
    401: "An API key is needed.",
    403: "The key's role, or the service's operator, does not allow this.",
    404: "There is no such user, or no such address.",
    408: "The request arrived too slowly.",
    409: "It is doubtful who speaks, and doubtful recordings were not to be kept; the message says why.",
    413: "The request is larger than the service takes.",
    422: "A recording, name or option cannot be used; the message says why.",
    429: "More requests than allowed; Retry-After says when to come back.",
    500: "An error of the service itself.",
    503: "Too many requests wait for an answer, or the gallery or the keys cannot be read; Retry-After says when to "
    "come back.",
}


class Refused(HTTPException):
    """A request that the service itself refuses."""

    def __init__(self, status: int, error: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, message, headers)
        self.error = error


def declared(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For OpenAPI."""
    return {status: {"model": Refusal, "description": DESCRIPTIONS[status]} for status in statuses}


def install(app: FastAPI) -> None:
    """Every error of ours, of the framework, of validation and of nobody in one shape."""

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        kind = error.error if isinstance(error, Refused) else "HTTP"
        return refusal(error.status_code, kind, str(error.detail), dict(error.headers or {}))

    @app.exception_handler(SpeakerIdError)
    async def ours(request: Request, error: SpeakerIdError) -> JSONResponse:
        status, told = told_of(error)
        return refusal(status, told.error, told.message)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return refusal(422, "Malformed", f"{where}: {first['msg']}")

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> JSONResponse:
        return refusal(500, "Internal", "the service failed; its log says where")  # raised again, and logged, after


def told_of(error: SpeakerIdError) -> tuple[int, Refusal]:
    """Status and words for the caller; what only the operator may know goes into the log."""
    if status := next((status for kind, status in STATUS.items() if isinstance(error, kind)), None):
        return status, Refusal(error=type(error).__name__, message=str(error))
    logger.error("%s: %s", type(error).__name__, error)
    return 503, Refusal(error="Unavailable", message="the service cannot do this at the moment; its log says why")


def refusal(status: int, error: str, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    retry = {"Retry-After": "1"} if status == 503 else {}
    return JSONResponse(
        Refusal(error=error, message=message).model_dump(), status, headers={**retry, **(headers or {})}
    )
