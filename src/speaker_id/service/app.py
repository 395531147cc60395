"""The HTTP service as an ASGI application: `create_app(settings)`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.formparsers import MultiPartParser

from speaker_id import __version__
from speaker_id.service import answers, routes, streaming, user_routes
from speaker_id.service.counters import Counters
from speaker_id.service.frame import Frame
from speaker_id.service.settings import Settings
from speaker_id.service.state import State

PAGE = Path(__file__).with_name("page")
ABOUT = (
    "Compare voices, enrol users, identify who speaks. Voiceprints are stored until removed; recordings are not, "
    "unless the operator keeps them: /health says so."
)


class Service(FastAPI):
    counters: Counters

    def build_middleware_stack(self) -> Any:
        """With the frame outside of what answers a failure: that answer needs its headers, too."""
        return Frame(super().build_middleware_stack(), self.counters)


def create_app(settings: Settings) -> FastAPI:
    """The application; model and gallery are opened when it starts, and closed when it stops."""
    MultiPartParser.spool_max_size = settings.max_bytes  # recordings beyond 1 MB would be put on the disk

    @asynccontextmanager
    async def lifespan(app: Service) -> AsyncIterator[None]:
        state = app.state.speaker_id = State(settings, app.counters)
        try:
            state.start()
            yield
        finally:
            await state.close()

    app = Service(
        title="speaker_id", version=__version__, description=ABOUT, lifespan=lifespan, docs_url=None, redoc_url=None
    )
    app.counters = Counters()
    answers.install(app)
    for router in (*routes.ROUTERS, *user_routes.ROUTERS, streaming.router):
        app.include_router(router)
    app.get("/", include_in_schema=False)(page)
    app.mount("/static", StaticFiles(directory=PAGE), name="static")
    if settings.origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(settings.origins), allow_headers=["Authorization", "X-API-Key"],
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        )  # fmt: skip
    return app


async def page() -> FileResponse:
    return FileResponse(PAGE / "index.html")
