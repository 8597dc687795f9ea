"""Troubles that are not the user's: what to say of them, and whether to try again."""

import errno
from collections.abc import Iterator

from scenestyle.errors import ScenestyleError

_NETWORK = {"httpcore", "httpx", "requests", "urllib3"}
"""packages whose errors are the network's"""
_MAKE_ROOM = " ({}). Make room; what is recorded is intact."
_MAY_NOT = "{} may not be read or written by this user. Change its rights (chmod, chown)."
_OF_THE_SYSTEM = {
    errno.ENOSPC: f"the disk is full{_MAKE_ROOM}",
    errno.EDQUOT: f"the disk quota is used up{_MAKE_ROOM}",
    errno.EROFS: "{} lies in a file system that can only be read. Work in another folder.",
    errno.EACCES: _MAY_NOT,
    errno.EPERM: _MAY_NOT,
    errno.EMFILE: "too many files are open ({}). Raise the limit: ulimit -n 4096",
    errno.EIO: "the disk failed at {}. Check the disk.",
    errno.ENAMETOOLONG: "a name is too long: {}. Choose a shorter one.",
    errno.ESTALE: "{} is gone from the network's file system. Mount it again.",
    errno.EADDRINUSE: "another program listens at the port already. Choose another port.",
}
"""the system's error -> a sentence with a place for the files; others, such as a missing file, are
bugs where nobody caught them"""


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
        what = f" ({error})" if str(error) else ""
        return f"the memory was not enough{what}. Lower the sizes in params.yaml, or try again."
    if isinstance(error, OSError) and error.errno in _OF_THE_SYSTEM:
        return _OF_THE_SYSTEM[error.errno].format(_files(error))
    return f"the network failed: {error}" if may_pass(error) else None


def _files(error: OSError) -> str:
    return " -> ".join(str(name) for name in (error.filename, error.filename2) if name) or "a file"


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _is_out_of_gpu_memory(error: BaseException) -> bool:
    """By its name: torch may not be loaded."""
    return type(error).__name__ == "OutOfMemoryError"
