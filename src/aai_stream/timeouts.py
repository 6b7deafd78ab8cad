"""What time it is, and `asyncio.timeout`, which Python 3.10 doesn't have yet.

`asyncio.wait_for` is no substitute: before Python 3.12 it may swallow a cancellation.
"""

import asyncio
import sys

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout

__all__ = ["now", "timeout"]


def now() -> float:
    """The running loop's time in seconds, which only goes forward."""
    return asyncio.get_running_loop().time()
