"""How a program ends in trouble: what to say of it, and whether to try again."""

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

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


def told(
    program: Callable[[], object], *, interrupted: str = "interrupted", passing: int = 1
) -> int:
    """Run a program to its end, be it a command, a flow or a stage.

    Args:
        program: What it does. A trouble that is no bug becomes one sentence on stderr; a bug keeps
            its traceback.
        interrupted: What to say after Ctrl-C.
        passing: The exit code where the same may succeed when it is just tried again.

    Returns:
        The exit code: 0, 1, `passing`, or 130 after Ctrl-C.
    """
    try:
        program()
    except KeyboardInterrupt:
        sys.stderr.write(f"{interrupted}\n")
        return 128 + signal.SIGINT
    except Exception as error:
        sentence = in_words(error)
        if sentence is None:
            raise
        sys.stderr.write(f"error: {sentence}\n")
        return passing if may_pass(error) else 1
    return 0


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
    names = [name for name in (error.filename, error.filename2) if name]
    return " -> ".join(_at_fault(error, Path(str(name))) for name in names) or "a file"


def _at_fault(error: OSError, path: Path) -> str:
    """A file that may not be made is not at fault, but the folder that it would be in."""
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        path = next((each for each in (path, *path.parents) if os.path.lexists(each)), path)
    return str(Path.cwd() if path == Path() else path)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _is_out_of_gpu_memory(error: BaseException) -> bool:
    """By its name: torch may not be loaded."""
    return type(error).__name__ == "OutOfMemoryError"
