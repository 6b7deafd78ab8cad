"""Collects the code blocks of README.md and docs/, each as a test of its own:

pytest docs/livekit.md
"""

from tests.docs.blocks import collect, report

pytest_collect_file = collect
pytest_terminal_summary = report
