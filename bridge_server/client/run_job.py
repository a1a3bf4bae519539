"""Run one job and wait for it: for scripts, the demo and tests.  An editor uses the events itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from typing import List

from bridge_server.client import events
from bridge_server.client.errors import CannotStart, ConnectionLost, JobFailed
from bridge_server.client.session import JobRequest, Session

WAIT_SECONDS = 0.01


def run(
    session: Session,
    request: JobRequest,
    on_progress: Callable[[events.Progress], None] = lambda _: None,
    on_preview: Callable[[events.Preview], None] = lambda _: None,
    on_event: Callable[[events.Event], None] = lambda _: None,
    timeout: float = 3600.0,
) -> List[events.Result]:
    """Submit ``request``, hand events to the callbacks, return the results by variant.

    The session must have no other job.  ``on_event`` gets every event, also those of the other two.
    Raises JobFailed (its code and sentence are those of the failed job; "cancelled" if it was cancelled),
    CannotStart if the bridge does not come up, ConnectionLost after ``timeout`` seconds.
    """
    pause = threading.Event()
    steps = in_steps(session, request, on_progress, on_preview, on_event, timeout)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            results: List[events.Result] = end.value
            return results
        pause.wait(WAIT_SECONDS)


def in_steps(
    session: Session,
    request: JobRequest,
    on_progress: Callable[[events.Progress], None] = lambda _: None,
    on_preview: Callable[[events.Preview], None] = lambda _: None,
    on_event: Callable[[events.Event], None] = lambda _: None,
    timeout: float = 3600.0,
) -> Generator[None, None, List[events.Result]]:
    """As `run`, for a caller that has an event loop to serve: yields when there is nothing to do for
    ``WAIT_SECONDS``.  Closing it cancels the job."""
    results: List[events.Result] = []
    deadline = time.monotonic() + timeout
    job = session.submit(request)
    over = False
    try:
        while time.monotonic() < deadline:
            for event in session.poll():
                on_event(event)
                if getattr(event, "job", job) != job:
                    continue
                over = over or isinstance(event, events.TERMINAL)
                if isinstance(event, events.Progress):
                    on_progress(event)
                elif isinstance(event, events.Preview):
                    on_preview(event)
                elif isinstance(event, events.Result):
                    results.append(event)
                elif isinstance(event, events.Done):
                    return sorted(results, key=lambda result: result.variant)
                elif isinstance(event, events.Failed):
                    raise JobFailed(event.sentence, event.details, event.code)
                elif isinstance(event, events.Cancelled):
                    raise JobFailed("The job was cancelled.", "", "cancelled")
                elif isinstance(event, events.Disconnected) and event.code == CannotStart.code:
                    raise CannotStart(event.sentence)
            yield
        raise ConnectionLost("The RePaint engine did not finish in time.", f"{timeout} s")
    finally:
        if not over:
            session.cancel(job)
