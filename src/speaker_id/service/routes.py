"""The service's questions about recordings; what the answers mean is decided in speaker_id.inference."""

from typing import Annotated

from fastapi import APIRouter, File, Query, Response, UploadFile
from prometheus_client import CONTENT_TYPE_LATEST

from speaker_id import __version__
from speaker_id.inference.decision import compared
from speaker_id.service.answers import Refused, declared
from speaker_id.service.schemas import CompareAnswer, EmbedAnswer, HealthAnswer, IdentifyAnswer
from speaker_id.service.security import Opened, guarded

open_to_all, verify, admin = APIRouter(), guarded("verify"), guarded("admin")
ROUTERS = (open_to_all, verify, admin)

Recording = Annotated[UploadFile, File(description="A recording: wav, flac, mp3, ogg (vorbis, opus), ...")]
Threshold = Annotated[float | None, Query(ge=-1, le=1, description="In place of the service's, for this request.")]
Prior = Annotated[float | None, Query(gt=0, lt=1, description="How probable one speaker was before listening.")]
MinMargin = Annotated[
    float | None, Query(ge=0, le=2, description="How much the best score must be over the next user's.")
]
SizeRule = Annotated[
    bool | None,
    Query(description="Raise the threshold for the number of users; by default where the model is calibrated for it."),
]


@open_to_all.get("/health", summary="Is the service ready?", responses=declared(500))
async def health(state: Opened) -> HealthAnswer:
    return HealthAnswer(
        status="ok",
        model=state.embedder.fingerprint,
        calibrated=state.point.calibrated,
        keeps_recordings=state.gallery.keeps_recordings,
        version=__version__,
    )


@verify.get(
    "/metrics", summary="Counters for Prometheus.", response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)  # fmt: skip
async def metrics(state: Opened) -> Response:
    return Response(state.counters.text(), media_type=CONTENT_TYPE_LATEST)


@verify.post("/compare", summary="Does the same person speak in both recordings?")
async def compare(
    state: Opened, a: Recording, b: Recording, threshold: Threshold = None, prior: Prior = None
) -> CompareAnswer:
    heard = await state.hear([await a.read(), await b.read()])
    result = compared(heard.rows, state.point_for(threshold), prior or state.settings.prior)
    return CompareAnswer.of(result, quality=heard.qualities)


@verify.post("/identify", summary="Which enrolled user speaks, if any?")
async def identify(
    state: Opened,
    recording: Recording,
    threshold: Threshold = None,
    prior: Prior = None,
    limit: Annotated[int, Query(ge=1, le=100, description="How many candidates to list.")] = 5,
    min_margin: MinMargin = None,
    gallery_size_rule: SizeRule = None,
) -> IdentifyAnswer:
    heard = await state.hear([await recording.read()])
    result = await state.identify(
        heard.rows[0],
        state.point_for(threshold),
        prior=prior or state.settings.prior,
        limit=limit,
        min_margin=min_margin,
        gallery_size_rule=gallery_size_rule,
    )
    return IdentifyAnswer.of(result, quality=heard.qualities)


@admin.post("/embed", summary="The voiceprint itself; off unless the operator allows it.")
async def embed(state: Opened, recording: Recording) -> EmbedAnswer:
    if not state.settings.allow_embed:
        raise Refused(403, "NotAllowed", "this service gives no voiceprints away; its operator may allow it")
    (row,) = (await state.hear([await recording.read()])).rows
    return EmbedAnswer(embedding=row.tolist(), fingerprint=state.embedder.fingerprint)
