"""WebSocket /stream: a running answer while sound arrives, and an early one when it is clear."""

import asyncio
from typing import Any

import numpy as np
from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from speaker_id.contracts import FloatArray
from speaker_id.errors import SpeakerIdError
from speaker_id.service.answers import Refused, told_of
from speaker_id.service.schemas import IdentifyAnswer
from speaker_id.service.security import admit, token_of
from speaker_id.service.state import State

router = APIRouter()

PROTOCOL = "speaker-id"  # what a browser offers beside its key
STEP_SECONDS = 1.0  # of new sound between two answers
DECIDED_AFTER = 3  # equal answers in a row
CLEAR_MARGIN = 0.1  # of score, above or below the threshold, for an early decision


@router.websocket("/stream")
async def stream(socket: WebSocket) -> None:
    """Binary messages are 16-bit little-endian mono samples at the model's rate; the text `end` asks for the last word.

    The first message back is `{"sample_rate": 16000}`; answers are JSON: `seconds`, `final`, and the fields of
    /identify, or `error` and `message`. A key comes in the Authorization header; from browsers, which cannot set it,
    as the second of the subprotocols `speaker-id` and `key.TOKEN`. Each answer but the last counts as a request.
    A stream may last as long as the longest recording, and an upload beyond that.
    """
    state: State = socket.app.state.speaker_id
    try:
        caller = admit(state, socket, token_of(socket) or _offered_token(socket), "verify")
        with state.room.taken():
            await socket.accept(PROTOCOL if PROTOCOL in socket.scope.get("subprotocols", []) else None)
            await _Listening(socket, state, caller).run()
    except Refused as error:  # before `accept` this is an HTTP answer, 403
        await socket.close(1013 if error.status_code in (429, 503) else 1008, str(error.detail)[:120])
    except WebSocketDisconnect:
        return


class _Listening:
    def __init__(self, socket: WebSocket, state: State, caller: str) -> None:
        self._socket = socket
        self._state = state
        self._caller = caller
        self._rate = state.embedder.sample_rate
        self._max_bytes = 2 * int(state.settings.max_seconds * self._rate)
        # Sound comes as it is spoken; whoever trickles it, or sends nothing again and again, must not keep the place
        self._deadline = asyncio.get_running_loop().time() + state.settings.max_seconds + state.settings.upload_seconds
        self._heard = bytearray()
        self._answered = 0.0  # seconds heard when the last answer was given
        self._row: list[tuple[str | None, bool]] = []

    async def run(self) -> None:
        await self._socket.send_json({"sample_rate": self._rate})
        while await self._listen():
            if self._seconds - self._answered >= STEP_SECONDS and await self._answer_so_far():
                break
        else:
            await self._send(await self._identify(), final=True)
        await self._socket.close()

    @property
    def _seconds(self) -> float:
        return len(self._heard) / 2 / self._rate

    async def _listen(self) -> bool:
        """Take one message; False when there will be no more sound. Raises Refused for what is no sound."""
        patience = asyncio.get_running_loop().time() + self._state.settings.upload_seconds
        try:
            async with asyncio.timeout_at(min(patience, self._deadline)):
                message = await self._socket.receive()
        except TimeoutError:
            raise Refused(408, "TooSlow", "nothing was heard for too long, or sound came too slowly") from None
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1000))
        if (text := message.get("text")) is not None:
            if text != "end":
                raise Refused(422, "Malformed", "send 16-bit samples in binary messages, or the text end")
            return False
        self._heard += (message.get("bytes") or b"")[: self._max_bytes - len(self._heard)]
        return len(self._heard) < self._max_bytes

    async def _answer_so_far(self) -> bool:
        """Say who it is so far; True when that was the last word. Callers above their rate get only that one."""
        if self._state.rate_limit.wait(self._caller, self._state.clock()):
            return False
        self._answered = self._seconds
        result = await self._identify()
        final = self._is_clear(result)
        await self._send(result, final=final)
        return final

    async def _identify(self) -> dict[str, Any]:
        try:
            return (await self._identified(self._waveform())).model_dump()
        except SpeakerIdError as error:
            return told_of(error)[1].model_dump()

    async def _identified(self, waveform: FloatArray) -> IdentifyAnswer:
        quality = await self._state.judged(waveform, "what was heard so far")
        row = await self._state.batcher.embed(waveform)
        result = await self._state.identify(row, self._state.point, prior=self._state.settings.prior)
        return IdentifyAnswer.of(result, quality=[quality])

    def _waveform(self) -> FloatArray:
        samples = np.frombuffer(bytes(self._heard), "<i2", count=len(self._heard) // 2)  # half a one may still come
        return samples.astype(np.float32) / np.float32(32768)

    async def _send(self, result: dict[str, Any], *, final: bool) -> None:
        await self._socket.send_json({"seconds": round(self._seconds, 2), "final": final, **result})

    def _is_clear(self, result: dict[str, Any]) -> bool:
        """The same answer several times in a row, each well away from the threshold."""
        score = result.get("score")
        clear = score is not None and abs(score - result["threshold"]) >= CLEAR_MARGIN
        self._row = [*self._row, (result.get("user"), clear)][-DECIDED_AFTER:]
        return len(self._row) == DECIDED_AFTER and all(one == (result.get("user"), True) for one in self._row)


def _offered_token(socket: WebSocket) -> str | None:
    offered: list[str] = socket.scope.get("subprotocols", [])
    return next((name.removeprefix("key.") for name in offered if name.startswith("key.")), None)
