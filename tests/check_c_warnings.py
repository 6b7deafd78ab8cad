"""Compile the core with gcc's strictest warnings; fail if a line of ours earns one.

    python tests/check_c_warnings.py

Warnings about Cython's own boilerplate are not ours: line directives in the generated
C tell the two apart.
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy  # noqa: F401
