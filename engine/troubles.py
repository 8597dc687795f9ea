"""Troubles that are not the user's: what to say of them, and whether to try again."""

import errno
from collections.abc import Iterator

from scenestyle.errors import ScenestyleError

_NETWORK = {"httpcore", "httpx", "requests", "urllib3"}
"""packages whose errors are the network's"""
_DISK = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up"}


class PassingError(ScenestyleError):
    """An error that may be gone when the same is just tried again."""


def may_pass(error: BaseException) -> bool:
    """Whether a retry may succeed: too little memory, no network, a busy project."""
    return any(
        isinstance(cause, PassingError | MemoryError | ConnectionError | TimeoutError)
        or _is_out_of_gpu_memory(cause)
        or type(cause).__module__.split(".")[0] in _NETWORK
        for cause in _causes(error)
    )


def in_words(error: BaseException) -> str | None:
    """A sentence for the user, for errors that are not bugs; none for those that are."""
    if isinstance(error, ScenestyleError):
        return str(error)
    if isinstance(error, MemoryError) or _is_out_of_gpu_memory(error):
        return f"the memory was not enough ({error}). Lower the sizes in params.yaml, or try again."
    if isinstance(error, OSError) and (words := _DISK.get(error.errno or 0)):
        return (
            f"{words} ({error.filename or 'no file named'}). Make room; what is recorded is intact."
        )
    if isinstance(error, OSError) and error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return f"{error.filename} may not be written ({error.strerror})."
    return f"the network failed: {error}" if may_pass(error) else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _is_out_of_gpu_memory(error: BaseException) -> bool:
    """By its name: torch may not be loaded."""
    return type(error).__name__ == "OutOfMemoryError"
