"""The metrics themselves, in prometheus_client's default registry.

Imported where that package is in use, see `reporter`. In its multiprocess mode gauges
add up over the processes that live, see `files`. Nothing counts yet when this is
imported: that would open files, which LiveKit's worker then deletes.
"""

from __future__ import annotations

from functools import cache

from prometheus_client import Counter, Gauge, Histogram

from . import files

STREAM = "model", "region"
"""Labels of all that is told by stream."""


def _gauge(name: str, text: str) -> Gauge:
    return Gauge(f"aai_stream_{name}", text, STREAM, multiprocess_mode="livesum")


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(f"aai_stream_{name}", text, (*labels, *STREAM))


def _histogram(name: str, text: str, *buckets: float) -> Histogram:
    return Histogram(f"aai_stream_{name}", text, STREAM, buckets=buckets)


STREAMS = _gauge("streams", "Streams that began and have not ended")
SESSIONS_OPEN = _gauge("sessions_open", "Sessions that are open, those on standby too")
REPLAY_BUFFER_SECONDS = _gauge(
    "replay_buffer_seconds", "Audio that is kept until a final turn covers it"
)
SESSIONS = _counter("sessions_total", "Sessions that are over", "outcome")
RECONNECTS = _counter(
    "reconnects_total",
    "Attempts to open a session in place of one that failed",
    "cause",
    "code",
)
AUDIO_SECONDS = _counter(
    "audio_seconds_total",
    "Audio sent for the first time, sent again, left out as silence, and lost",
    "outcome",
)
ERRORS = _counter("errors_total", "Sessions that failed or were not opened", "code")
TURNS = _counter("turns_total", "Final turns with words")
CONNECT_SECONDS = _histogram(
    "connect_seconds",
    "From the start of a connect to Begin",
    *(0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20),
)
FINAL_DELAY_SECONDS = _histogram(
    "final_delay_seconds",
    "Audio pushed behind the end of the last word when its final turn is told",
    *(0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30),
)
CATCH_UP_SECONDS = _histogram(
    "catch_up_seconds",
    "Until a session has been sent all audio that waited for it",
    *(0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120),
)
ADMISSION_WAIT_SECONDS = _histogram(
    "admission_wait_seconds",
    "How long a new session waited for its place among others",
    *(0.01, 0.1, 0.5, 1, 2, 5, 10, 20, 30, 60, 120),
)


@cache
def event_loop_lag() -> Histogram:
    """Of all event loops together: it has no labels, and counts once it is there."""
    files.share()
    return Histogram(
        "aai_stream_event_loop_lag_seconds",
        "How late a timer of each second is, on event loops with streams",
        buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
    )


class Family:
    """The metrics of all streams with the same model and region."""

    def __init__(self, *labels: str) -> None:
        self.labels = labels
        self.streams = STREAMS.labels(*labels)
        self.sessions_open = SESSIONS_OPEN.labels(*labels)
        self.buffer = REPLAY_BUFFER_SECONDS.labels(*labels)
        self.sent = AUDIO_SECONDS.labels("sent", *labels)
        self.replayed = AUDIO_SECONDS.labels("replayed", *labels)
        self.skipped = AUDIO_SECONDS.labels("skipped", *labels)
        self.lost = AUDIO_SECONDS.labels("lost", *labels)
        self.turns = TURNS.labels(*labels)
        self.connect = CONNECT_SECONDS.labels(*labels)
        self.final_delay = FINAL_DELAY_SECONDS.labels(*labels)
        self.catch_up = CATCH_UP_SECONDS.labels(*labels)
        self.admission_wait = ADMISSION_WAIT_SECONDS.labels(*labels)


@cache
def family(model: str, region: str) -> Family:
    """The one of these labels."""
    files.share()
    return Family(model, region)
