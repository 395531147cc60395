"""Counters for Prometheus: how many requests, how they ended, how long they took."""

import os

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, multiprocess

STREAMED = "WEBSOCKET"  # in place of a method
METHODS = {STREAMED, "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}  # of others there may be any number
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # where several worker processes keep what one of them then adds up


class Counters:
    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "speaker_id_requests", "Requests by method, route, status.", ["method", "route", "status"],
            registry=self._registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "speaker_id_request_seconds", "Time to answer, by route.", ["route"], registry=self._registry
        )

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        self._requests.labels(method if method in METHODS else "other", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """In Prometheus's own format; of all worker processes."""
        if SHARED_FOLDER not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
