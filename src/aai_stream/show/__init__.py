"""Recorded calls shown: as a page, in a terminal, in a list."""
