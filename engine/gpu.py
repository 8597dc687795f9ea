"""One stage at a time on each GPU of this machine, whoever started it."""

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

GPU_STAGES = frozenset({"train_nerf", "render_views", "stylize_views", "finetune_nerf", "evaluate"})

_SECONDS_BETWEEN_LOOKS = 0.2
_VISIBLE = "CUDA_VISIBLE_DEVICES"


def gpus() -> list[str]:
    """The GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them; or none."""
    if (visible := os.environ.get(_VISIBLE)) is not None:
        return [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    return [str(number) for number, _ in enumerate(sorted(Path("/dev").glob("nvidia[0-9]*")))]


@contextmanager
def one_gpu(names: Sequence[str], locks: Path | None = None) -> Iterator[str | None]:
    """Wait for a GPU that no other stage uses, and have this process see only that one.

    The kernel releases the lock when the process exits, for whatever reason. Without GPUs nothing
    happens.

    Args:
        names: As `gpus` returns them.
        locks: Folder of the lock files, the same for all who share the machine.
    """
    if not names:
        yield None
        return
    locks = locks or Path(tempfile.gettempdir()) / "scenestyle-gpus"
    locks.mkdir(mode=0o777, parents=True, exist_ok=True)
    name, handle = _wait_for_one(names, locks)
    before = os.environ.get(_VISIBLE)
    os.environ[_VISIBLE] = name
    try:
        yield name
    finally:
        if before is None:
            del os.environ[_VISIBLE]
        else:
            os.environ[_VISIBLE] = before
        os.close(handle)


def _wait_for_one(names: Sequence[str], locks: Path) -> tuple[str, int]:
    while True:
        for name in names:
            handle = os.open(locks / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
            else:
                return name, handle
        time.sleep(_SECONDS_BETWEEN_LOOKS)
