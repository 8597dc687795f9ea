"""The canary of the runtime shape checks: if the hook is off, this test fails."""

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from scenestyle.cameras import PinholeCamera


def test_a_wrong_shape_is_refused():
    with pytest.raises(TypeCheckError, match="c2w_opengl"):
        PinholeCamera(c2w_opengl=np.eye(3), fx=1.0, fy=1.0, cx=0.5, cy=0.5, width=1, height=1)
