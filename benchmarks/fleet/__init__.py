"""A fleet that loses its region, under virtual time: with a budget and without.

    python -m benchmarks.fleet                    # 10,000 streams on 200 hosts, 90 s
    python -m benchmarks.fleet --plot docs/fleet.svg

What decides is the real thing: the retries of a stream, its place in the line, and the
account's limits. What is simulated is the network, the service, the replay buffers (as
seconds of audio) and the Redis, which answers at once. Each stream has a process of its
own, as LiveKit's jobs have.
"""
