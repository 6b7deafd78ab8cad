"""What all processes of an account share: new sessions a minute, and sessions at once.

Own code, as no library has what this needs in one step: who goes first, sessions that
their process gives back when it dies, and a place returned by who doesn't use it.
pyrate-limiter's buckets, in SQLite and in Redis, count items and know none of these.
"""
