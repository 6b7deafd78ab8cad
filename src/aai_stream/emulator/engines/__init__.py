"""What hears: engines, which give each session a recogniser.

`pocketsphinx` recognises speech. `script` and `marked` are for tests: one says what it
was told to say, the other reads numbered words out of the samples.
"""
