import asyncio
import threading
from collections.abc import Callable, Coroutine

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.tiny_model import tiny_model, voice
from speaker_id.contracts import FloatArray
from speaker_id.errors import TooShort
from speaker_id.inference.embedder import ModelEmbedder
from speaker_id.service.batching import Batcher


def with_batcher(
    embed: Callable[[list[FloatArray]], FloatArray],
    use: Callable[[Batcher], Coroutine[None, None, None]],
    max_batch: int = 4,
) -> None:
    async def run() -> None:
        batcher = Batcher(embed, max_batch=max_batch)
        batcher.start()
        await use(batcher)
        await batcher.close()

    asyncio.run(run())


def number(value: float) -> FloatArray:
    return np.full(1, value, np.float32)


@settings(max_examples=20)
@given(st.integers(1, 40), st.integers(1, 5))
def test_each_gets_its_own_answer_in_batches_no_larger_than_allowed(num: int, max_batch: int) -> None:
    sizes: list[int] = []

    def embed(waveforms: list[FloatArray]) -> FloatArray:
        sizes.append(len(waveforms))
        return 2 * np.stack(waveforms)

    async def use(batcher: Batcher) -> None:
        rows = await asyncio.gather(*(batcher.embed(number(i)) for i in range(num)))
        assert [row[0] for row in rows] == [2 * i for i in range(num)]

    with_batcher(embed, use, max_batch)
    assert sum(sizes) == num
    assert max(sizes) <= max_batch


def test_what_waits_while_another_is_embedded_is_embedded_together() -> None:
    sizes: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    def embed(waveforms: list[FloatArray]) -> FloatArray:
        sizes.append(len(waveforms))
        begun.set()
        assert go_on.wait(60)
        return np.stack(waveforms)

    async def use(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.embed(number(0)))
        await asyncio.to_thread(begun.wait, 60)
        others = [asyncio.create_task(batcher.embed(number(i))) for i in range(3)]
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(first, *others)

    with_batcher(embed, use)
    assert sizes == [1, 3]


def test_a_batch_gives_what_each_recording_gives_alone() -> None:
    embedder = ModelEmbedder(tiny_model())
    waveforms = [voice(pitch, seconds) for pitch, seconds in ((110, 1.0), (150, 1.0), (190, 2.0), (230, 1.0))]

    async def use(batcher: Batcher) -> None:
        rows = await asyncio.gather(*map(batcher.embed, waveforms))
        np.testing.assert_allclose(rows, [embedder([waveform])[0] for waveform in waveforms], atol=1e-5)

    with_batcher(embedder, use)


@pytest.mark.parametrize("error", [TooShort("too short"), RuntimeError("a bug")])
def test_one_recordings_failure_is_nobody_elses(error: Exception) -> None:
    def embed(waveforms: list[FloatArray]) -> FloatArray:
        if any(waveform[0] == 2 for waveform in waveforms):
            raise error
        return np.stack(waveforms)

    async def use(batcher: Batcher) -> None:
        answers = await asyncio.gather(*(batcher.embed(number(i)) for i in range(4)), return_exceptions=True)
        assert answers[2] is error
        assert [answers[i] for i in (0, 1, 3)] == [0, 1, 3]
        assert await batcher.embed(number(5)) == 5  # it goes on

    with_batcher(embed, use)


def test_callers_that_went_away_cost_nothing_and_harm_nobody() -> None:
    seen: list[float] = []

    def embed(waveforms: list[FloatArray]) -> FloatArray:
        seen.extend(float(waveform[0]) for waveform in waveforms)
        return np.stack(waveforms)

    async def use(batcher: Batcher) -> None:
        tasks = [asyncio.create_task(batcher.embed(number(i))) for i in range(3)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        assert [await tasks[0], await tasks[2]] == [0, 2]

    with_batcher(embed, use)
    assert seen == [0, 2]


def test_closing_answers_what_was_accepted() -> None:
    async def run() -> None:
        batcher = Batcher(np.stack, max_batch=2)
        batcher.start()
        tasks = [asyncio.create_task(batcher.embed(number(i))) for i in range(7)]
        await asyncio.sleep(0)
        await batcher.close()
        done, _ = await asyncio.wait(tasks, timeout=5)
        assert len(done) == 7
        assert [task.result()[0] for task in tasks] == list(range(7))

    asyncio.run(run())
