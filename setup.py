"""The one thing pyproject.toml can't say: the compiled core."""

import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

sys.path.insert(0, "src")
from _filters import as_header

header = Path("build/_filters.h")
header.parent.mkdir(exist_ok=True)
header.write_text(as_header())

core = Extension(
    "aai_stream._core",
    ["src/_core.pyx"],
    depends=["src/_filters.py"],
    include_dirs=[str(header.parent)],
    extra_compile_args=[] if sys.platform == "win32" else ["-O3"],
)
setup(ext_modules=cythonize([core], include_path=["src"], build_dir="build"))
