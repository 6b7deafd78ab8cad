"""What a stream costs, whole processes of it: ours beside AssemblyAI's and LiveKit's.

    python -m benchmarks.density                 # all rows, twenty minutes
    python -m benchmarks.density --rows 1,7      # some
    python -m benchmarks.density --markdown      # the last run's table

Each kind of client has a process of its own, all on one core; the server has another
core. They take turns, a few seconds each, over and over, so that what the machine does
besides falls on all of them, and what counts is the median of the turns' ratios. What
frames, timers and the reading of events cost is measured in the same turns, with
clients that do nothing, and subtracted.
"""
