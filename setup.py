"""What pyproject.toml can't say: the compiled core, and the README without files."""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

sys.path.insert(0, "src")
# The filters are small: NumPy's threads would only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
from _filters import as_header
from _readme import as_description

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


class BuildCore(build_ext):
    """Says what is missing where the core can't be compiled."""

    def build_extensions(self):
        try:
            super().build_extensions()
        except Exception as exc:  # of which class, depends on setuptools
            sys.exit(
                "aai-stream has a core in C, and there is no wheel for this Python and "
                "system: install a C compiler and Python's headers (on Debian: apt "
                f"install gcc python3-dev), then try again. The compiler says: {exc}"
            )


setup(
    long_description=as_description(Path("README.md").read_text(encoding="utf-8")),
    long_description_content_type="text/markdown",
    ext_modules=cythonize([core], include_path=["src"], build_dir="build"),
    cmdclass={"build_ext": BuildCore},
)
