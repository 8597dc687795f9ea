"""One stage at a time on each GPU of this machine, whoever started it."""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from scenestyle.files import locked

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
        names: GPUs, as `gpus` returns them.
        locks: Folder of the lock files, the same for all who share the machine.
    """
    if not names:
        yield None
        return
    locks = locks or Path(tempfile.gettempdir()) / "scenestyle-gpus"
    locks.mkdir(mode=0o777, parents=True, exist_ok=True)
    with ExitStack() as held:
        name = _wait_for_one(names, locks, held)
        before = os.environ.get(_VISIBLE)
        os.environ[_VISIBLE] = name
        try:
            yield name
        finally:
            if before is None:
                del os.environ[_VISIBLE]
            else:
                os.environ[_VISIBLE] = before


def _wait_for_one(names: Sequence[str], locks: Path, held: ExitStack) -> str:
    while True:
        for name in names:
            try:
                held.enter_context(locked(locks / f"{name}.lock", wait=False))
            except BlockingIOError:
                continue
            return name
        time.sleep(_SECONDS_BETWEEN_LOOKS)
