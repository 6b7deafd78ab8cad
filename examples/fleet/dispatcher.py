"""Stands in for LiveKit's server where there is none: gives every worker calls to take.

    python -m examples.fleet.dispatcher --calls 2

It speaks as much of the protocol as a worker does. There are no rooms behind the calls:
a worker needs a RECORDING to hear. Whoever has finished a call gets another.
"""

from __future__ import annotations

import argparse
from itertools import count

from aiohttp import web
from livekit.protocol import agent, models


class Dispatcher:
    """Keeps `calls` calls going at every worker that registers."""

    def __init__(self, calls: int) -> None:
        self.calls = calls
        self._numbers = count(1)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Talk to a worker, at `/agent`; anything else isn't there."""
        if request.path != "/agent":
            return web.Response(status=503)  # rooms are WebRTC
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            said = agent.WorkerMessage.FromString(message.data)
            for answer in self._answers(said):
                await socket.send_bytes(answer.SerializeToString())
        return socket

    def _answers(self, said: agent.WorkerMessage) -> list[agent.ServerMessage]:
        kind = said.WhichOneof("message")
        if kind == "register":
            registered = agent.RegisterWorkerResponse(worker_id="W_1")
            offers = [self._offer() for _ in range(self.calls)]
            return [agent.ServerMessage(register=registered), *offers]
        if kind == "availability" and said.availability.available:
            job = agent.Job(id=said.availability.job_id)
            assignment = agent.JobAssignment(job=job, token="x.y.z")
            return [agent.ServerMessage(assignment=assignment)]
        over = agent.JobStatus.JS_SUCCESS, agent.JobStatus.JS_FAILED
        if kind == "update_job" and said.update_job.status in over:
            return [self._offer()]
        return []

    def _offer(self) -> agent.ServerMessage:
        number = next(self._numbers)
        room = models.Room(name=f"room-{number}", sid=f"RM_{number}")
        job = agent.Job(id=f"AJ_{number}", room=room)
        return agent.ServerMessage(availability=agent.AvailabilityRequest(job=job))


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=7880)
    parser.add_argument("--calls", type=int, default=2, help="at a time, of a worker")
    options = parser.parse_args()
    app = web.Application()
    app.router.add_get("/{path:.*}", Dispatcher(options.calls).serve)
    web.run_app(app, host="127.0.0.1", port=options.port)


if __name__ == "__main__":
    main()
