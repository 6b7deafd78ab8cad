"""Types for annotations; import them under `typing.TYPE_CHECKING` only."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Buffer

    # NumPy's stubs call an array a buffer from Python 3.12 on only.
    Audio: TypeAlias = Buffer | NDArray[np.int16] | NDArray[np.float32]
