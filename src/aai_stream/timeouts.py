"""`asyncio.timeout`, which Python 3.10 doesn't have yet.

`asyncio.wait_for` is no substitute: before Python 3.12 it may swallow a cancellation.
"""

import sys

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout

__all__ = ["timeout"]
