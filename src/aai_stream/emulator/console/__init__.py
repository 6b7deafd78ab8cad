"""The console: a page that shows every session, and makes faults happen by a click.

`calls` is what the server tells, as data; `console` serves it to pages.
"""

from .console import Console

__all__ = ["Console"]
