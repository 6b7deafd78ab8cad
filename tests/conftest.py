"""Settings that every test shares."""

from hypothesis import settings

# The same examples every time, and no deadline: the machine may be busy.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.load_profile("ci")
