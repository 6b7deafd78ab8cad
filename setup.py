"""The one thing pyproject.toml can't say: the compiled core."""

import sys

from Cython.Build import cythonize
from setuptools import Extension, setup

flags = [] if sys.platform == "win32" else ["-O3"]

setup(
    ext_modules=cythonize(
        [Extension("aai_stream._core", ["src/_core.pyx"], extra_compile_args=flags)],
        include_path=["src"],
        build_dir="build",
    )
)
