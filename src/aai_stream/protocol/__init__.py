"""What to do, and when. Pure: `now` is an argument, results are values.

No module in here may import asyncio, a socket, a clock, randomness or logging;
import-linter holds that.
"""
