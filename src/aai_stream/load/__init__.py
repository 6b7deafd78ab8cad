"""A load of streams in real time, and a server that is too cheap to be in its way."""
