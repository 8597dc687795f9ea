"""A flow as a program in the foreground."""

import sys
from collections.abc import Callable, Iterable

import httpx
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    temporary_settings,
)

from engine.troubles import told
from scenestyle.errors import ScenestyleError


class ServerError(ScenestyleError):
    """The Prefect server that the settings name does not answer."""


def run_in_foreground(check: Callable[[], object], flow: Callable[[], Iterable[str]]) -> int:
    """Run a flow and print the files that it made.

    Args:
        check: Raises what is wrong with the arguments. It comes before Prefect is asked for
            anything, which without a server takes ten seconds to start one.
        flow: Returns the paths of the files.

    Returns:
        The exit code: 1 after an error, which is then on stderr.
    """

    def program() -> None:
        check()
        check_server(PREFECT_API_URL.value())
        # A run in the foreground needs no heartbeat, and its thread takes a second to stop.
        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            try:
                paths = flow()
            except RuntimeError as error:
                if "ephemeral Prefect API server" not in str(error):
                    raise
                cause = "it ended" if "exited with code" in str(error) else "the machine is busy?"
                raise ServerError(
                    "the Prefect server that the run starts for itself did not answer in time "
                    f"({cause}). Try again, or start one that stays, whose log says more: prefect "
                    "server start > server.log 2>&1 & Then: prefect config set "
                    "PREFECT_API_URL=http://127.0.0.1:4200/api"
                ) from error
            sys.stdout.writelines(f"{path}\n" for path in paths)

    return told(program, interrupted="interrupted; the next run resumes from the last checkpoint")


def check_permanent_server(url: str | None) -> None:
    """As `check_server`, for what would end with a server of its own.

    Raises:
        ServerError: Also if none is named.
    """
    if not url:
        raise ServerError(
            "PREFECT_API_URL names no Prefect server. Start one (prefect server start), then: "
            "prefect config set PREFECT_API_URL=http://127.0.0.1:4200/api"
        )
    check_server(url)


def check_server(url: str | None) -> None:
    """Ask the server whether it is well; without a URL each flow run starts one of its own.

    Raises:
        ServerError: If it does not answer; says how to start or forget it.
    """
    if not url:
        return
    try:
        httpx.get(f"{url}/health", timeout=5).raise_for_status()
    except httpx.HTTPError as error:
        raise ServerError(
            f"no Prefect server answers at {url}, which PREFECT_API_URL names. Start it: "
            "prefect server start > server.log 2>&1 & Or do without: prefect config unset "
            "PREFECT_API_URL -y"
        ) from error
