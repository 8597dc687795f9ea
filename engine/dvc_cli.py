"""DVC's command line in a process that ends in good order: `python -m engine.dvc_cli ARGUMENTS`.

SIGTERM, or the death of the process that started this one, ends the running stage; DVC then sees it
fail and leaves. A result that is just being recorded is recorded to the end. SIGKILL leaves
dvc.lock as it was.
"""

import signal
import sys

import psutil

from engine.lockfile import teach_dvc
from engine.process import die_with_parent

_SECONDS_BETWEEN_SIGNALS = 0.5


def main() -> None:
    """Run `dvc` with this program's arguments."""
    from dvc.cli import main as dvc

    teach_dvc()
    signal.signal(signal.SIGTERM, _end_stages)
    signal.signal(signal.SIGALRM, _end_stages)
    die_with_parent(signal.SIGTERM)
    code = dvc(sys.argv[1:])
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 0)  # Python drops its handlers on exit: it would kill us
    raise SystemExit(code)


def _end_stages(*_: object) -> None:
    """Stop the running stage, and repeat soon: DVC may start another one after a lock."""
    for process in psutil.Process().children(recursive=True):
        process.terminate()
    signal.setitimer(signal.ITIMER_REAL, _SECONDS_BETWEEN_SIGNALS)


if __name__ == "__main__":
    main()
