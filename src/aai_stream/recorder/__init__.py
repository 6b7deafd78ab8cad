"""Calls on file: what was heard, said and decided, to be looked at and heard again."""
