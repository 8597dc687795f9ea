"""A flow as a program in the foreground."""

import sys
from collections.abc import Callable, Iterable

from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from scenestyle.errors import ScenestyleError


def run_in_foreground(check: Callable[[], object], flow: Callable[[], Iterable[str]]) -> int:
    """Run a flow and print the files that it made.

    Args:
        check: Raises what is wrong with the arguments. It comes before Prefect is asked for
            anything, which without a server takes ten seconds to start one.
        flow: Returns the paths of the files.

    Returns:
        The exit code: 1 after an error, which is then on stderr.
    """
    try:
        check()
        # A run in the foreground needs no heartbeat, and its thread takes a second to stop.
        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            sys.stdout.writelines(f"{path}\n" for path in flow())
    except ScenestyleError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0
