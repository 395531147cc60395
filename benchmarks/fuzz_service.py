"""The same through a running service, by bytes on the wire: refusals in our shape, never a failure, nothing kept."""

import contextlib
import http.client
import json
import random
import socket
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from serving import Served, usage
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from hostile import words
from hostile.mutations import mutated
from hostile.requests import CHANGEABLE, Request, enrolment, hostile_request, question
from hostile.sounds import flac
from hostile.watched import Outcome
from speaker_id.inference.galleries import open_gallery

SECONDS = 120.0  # for one answer, on a busy machine; the service itself gives decoding 5
TRIES = 3
TOO_SLOW = b"was not decoded within"
NOT_HTTP = b"Invalid HTTP request received."  # the server's own answer, before any of ours


class Answer(NamedTuple):
    status: int
    body: bytes


class Asking:
    """Numbered cases against one service."""

    def __init__(self, service: Served, seed: int) -> None:
        self._service = service
        self._seed = seed
        self._honest = flac()

    def recording(self, number: int) -> tuple[Request, Outcome]:
        """A mutated recording in one of the questions, or beside an honest one in an enrolment."""
        content = mutated(self._seed, number).content
        request = (
            question(b"/identify", {"recording": content}),
            question(b"/compare", {"a": self._honest, "b": content}),
            enrolment(b"fuzz-%d" % number, [self._honest, content]),
            question(b"/embed", {"recording": content}),
        )[number % 4]
        return request, self._outcome(request)

    def words(self, number: int) -> tuple[Request, Outcome]:
        """A request of which nothing need be well formed but its HTTP."""
        rng = random.Random(f"{self._seed} request {number}")
        request = hostile_request(rng, self._some_recording)
        return request, self._outcome(request)

    def stream(self, number: int) -> Outcome:
        """Sound, noise and words over a WebSocket."""
        rng = random.Random(f"{self._seed} stream {number}")
        try:
            with connect(
                f"ws://127.0.0.1:{self._service.port}/stream", additional_headers=self._service.headers
            ) as one:
                for _ in range(rng.choice((1, 3, 10))):
                    one.send(rng.randbytes(rng.choice((0, 1, 3, 4000, 64_001))) if rng.random() < 0.8 else _text(rng))
                one.send("end")
                while True:
                    said = json.loads(one.recv(timeout=SECONDS))
                    assert "seconds" in said or "sample_rate" in said, said
                    if said.get("final"):
                        return Outcome("sound")
        except WebSocketException as error:
            code = getattr(getattr(error, "rcvd", None), "code", None)
            return Outcome("refused") if code in (1000, 1008, 1009, 1013) else Outcome("failed", f"{error!r}")
        except (AssertionError, TimeoutError, OSError, ValueError) as error:
            return Outcome("failed", f"{type(error).__name__}: {error}")

    def _some_recording(self, rng: random.Random) -> bytes:
        return self._honest if rng.random() < 0.5 else mutated(self._seed, rng.randrange(10**6)).content

    def _outcome(self, request: Request) -> Outcome:
        try:
            answer = self._answer_in_time(request)
            _check(request, answer)
            if request.method == b"PUT" and answer.status == 200:  # it was a good one: take it back
                undo = Request(b"DELETE", request.target.split(b"?")[0].removesuffix(b"/recordings"), (), b"")
                assert self.answer(undo).status == 200, "who was enrolled cannot be removed"
        except (AssertionError, OSError, http.client.HTTPException) as error:
            if not request.target.isascii() and isinstance(error, ConnectionResetError):
                return Outcome("refused", "no HTTP")  # hung up on before the body had come
            return Outcome("failed", f"{type(error).__name__}: {error}"[:500])
        return Outcome("sound" if answer.status < 400 else "refused", str(answer.status))

    def _answer_in_time(self, request: Request) -> Answer:
        """On a busy machine what was stopped for its time may only have waited: it is asked three times."""
        answers = (self.answer(request) for _ in range(TRIES))
        answer = next(answers)
        while TOO_SLOW in answer.body and (another := next(answers, None)) is not None:
            answer = another
        return answer

    def answer(self, request: Request) -> Answer:
        more = (
            (b"Host", b"localhost"),
            (b"Connection", b"close"),
            (b"Authorization", b"Bearer " + self._service.token.encode()),
        )
        with socket.create_connection(("127.0.0.1", self._service.port), timeout=SECONDS) as connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before it was all sent
                connection.sendall(request.on_the_wire(*more))
            response = http.client.HTTPResponse(connection, method=request.method.decode())
            response.begin()
            return Answer(response.status, response.read())


def _check(request: Request, answer: Answer) -> None:
    assert answer.status < 500, f"{answer.status}: {answer.body[:300]!r}"
    if answer.status < 400 or request.method == b"HEAD" or answer.body == NOT_HTTP:
        return
    said = json.loads(answer.body)
    assert isinstance(said, dict), said
    assert set(said) == {"error", "message"}, said
    assert "decoder fail" not in said["message"], said["message"]
    assert TOO_SLOW not in answer.body, said["message"]


def _text(rng: random.Random) -> str:
    return words.json_text(rng).encode("utf-8", "replace").decode()


def left_behind(service: Served, temporary: Path, megabytes: int, before: dict[str, object]) -> list[str]:
    """What is not as it was, once all is done; stops the service."""
    found = []
    for one in usage(service.process.pid).values():
        if one.peak_mb > megabytes:
            found.append(f"a {one.name} took {one.peak_mb:.0f} MB at its peak, at most {megabytes} were to be")
    if service.stop() not in (0, -15):
        found.append(f"the service ended with {service.process.returncode}")
    if (after := contents(service.folder / "gallery.db")) != before:
        found.append(f"the gallery has changed: {list(before)} became {list(after)}")
    known = {"gallery.db", "keys.json", "log"}
    found += [f"{path.name} was left" for path in service.folder.iterdir() if path.name not in known]
    found += [f"{path.name} was left among the temporary files" for path in temporary.iterdir()]
    return found + _strange_lines(service.log)


def _strange_lines(log: str) -> list[str]:
    counts: Counter[str] = Counter()
    for line in log.splitlines():
        try:
            read = json.loads(line)
        except ValueError:
            counts[f"no JSON in the log: {line[:200]}"] += 1
            continue
        if read["message"] == "a decoder took too long and is started anew":
            continue  # each was asked for again
        if read["level"] != "INFO" and read["logger"] not in ("uvicorn.error", "python_multipart.multipart"):
            counts[f"{read['level']} in the log: {read['message'][:300]}"] += 1
    return [f"{line} ({times} times)" for line, times in counts.most_common(20)]


def contents(path: Path) -> dict[str, object]:
    """Every user with all that is kept and logged, but for the one whose details may change."""
    with contextlib.closing(open_gallery(path)) as gallery:
        found: dict[str, object] = {}
        for user in sorted(gallery.users().keys() - {CHANGEABLE.decode()}):
            rows = np.asarray(gallery.embeddings(user))
            found[user] = (gallery.enrolled(user), rows.tobytes(), gallery.events(user=user))
        return found
