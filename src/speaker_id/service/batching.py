"""Recordings that wait while others are embedded are embedded together next."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, ParamSpec, TypeVar

from speaker_id.contracts import FloatArray

P = ParamSpec("P")
R = TypeVar("R")
Embed = Callable[[list[FloatArray]], FloatArray]


class _Waiting(NamedTuple):
    waveform: FloatArray
    answer: "asyncio.Future[FloatArray]"


class Batcher:
    """Embeds in one thread, up to `max_batch` recordings at once; nobody waits for a batch to fill.

    `start` inside the event loop; `close` answers what was accepted before.
    """

    def __init__(self, embed: Embed, *, max_batch: int) -> None:
        self._embed = embed
        self._max_batch = max_batch
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embedder")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def embed(self, waveform: FloatArray) -> FloatArray:
        """(S,) -> (E,). Raises whatever embedding this recording raises, never what a batch mate caused."""
        answer: asyncio.Future[FloatArray] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(_Waiting(waveform, answer))
        return await answer

    async def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call what uses the model itself, between two batches."""
        work = partial(function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def close(self) -> None:
        await self._queue.join()
        if self._task is not None:
            self._task.cancel()
        self._thread.shutdown()

    async def _run(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < self._max_batch and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await self._answer([one for one in batch if not one.answer.done()])  # some callers went away
            for _ in batch:
                self._queue.task_done()

    async def _answer(self, batch: list[_Waiting]) -> None:
        if not batch:
            return
        work = asyncio.get_running_loop().run_in_executor(self._thread, self._embed, [one.waveform for one in batch])
        await asyncio.wait([work])
        error = work.exception()
        if error is not None and len(batch) > 1:  # one is to blame, the others are not
            for one in batch:
                await self._answer([one])
            return
        for row, one in enumerate(batch):
            if one.answer.done():  # cancelled
                continue
            if error is None:
                one.answer.set_result(work.result()[row])
            else:
                one.answer.set_exception(error)
