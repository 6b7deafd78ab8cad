"""`python -m tests.simulation SEED`: hold one call again, and say what happened."""

import sys

from tests.simulation.world import hold_call

for seed in map(int, sys.argv[1:]):
    print(hold_call(seed).report())
