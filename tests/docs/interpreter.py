"""Runs Python blocks of one page, one after the other, in one namespace.

They find what their page takes for granted: a key in the environment, AssemblyAI at
its address (the embedded server, with a certificate that this machine trusts), and a
`microphone()`.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import os
import ssl
import sys
import threading
import traceback
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from tests.docs.reader import DONE


async def microphone() -> AsyncIterator[bytes]:
    """A second of 48 kHz stereo, in frames of 50 ms."""
    for _ in range(20):
        yield bytes(2400 * 4)


def _stand_in(is_up: threading.Event) -> None:
    from aai_stream.emulator.engines.script import ScriptEngine, say
    from aai_stream.emulator.server import Emulator

    async def serve() -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain("server.pem")
        script = [say("hello world", at_ms=200)]
        async with Emulator(ScriptEngine(script), port=443, tls=context):
            is_up.set()
            await asyncio.Event().wait()

    asyncio.run(serve())


async def _evaluated(code: Any, namespace: dict[str, Any]) -> None:
    result = eval(code, namespace)
    if inspect.isawaitable(result):
        await result


def main() -> None:
    """Blocks come on standard input, as JSON; how each failed goes to the output."""
    os.environ |= {"ASSEMBLYAI_API_KEY": "any", "SSL_CERT_FILE": "ca.pem"}
    namespace: dict[str, Any] = {"__name__": "__main__", "microphone": microphone}
    loop: asyncio.AbstractEventLoop | None = None
    for line in sys.stdin:
        source, place = json.loads(line)
        if loop is None:
            is_up = threading.Event()
            threading.Thread(target=_stand_in, args=(is_up,), daemon=True).start()
            is_up.wait()
            loop = asyncio.new_event_loop()
        failure = None
        try:
            flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            code = compile(source, place, "exec", flags)
            if "asyncio.run(" in source:
                exec(code, namespace)
            else:  # as in a coroutine of the reader's
                loop.run_until_complete(_evaluated(code, namespace))
        except BaseException:
            failure = traceback.format_exc()
        print(f"\n{DONE}{json.dumps(failure)}", flush=True)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
