"""Where an object of a foreign library lets something else do its work for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def replaced(owner: Any, method: str, stand_in: Any) -> Iterator[None]:
    """Have `stand_in` called for a method of one object; afterwards all is as before.

    A module's hooks stay in force, as they are not part of its `forward`.
    """
    own = vars(owner).get(method)
    setattr(owner, method, stand_in)
    try:
        yield
    finally:
        if own is None:
            delattr(owner, method)
        else:
            setattr(owner, method, own)
