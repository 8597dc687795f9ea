"""How a flow as a program ends, without any flow."""

import errno
import logging

import pytest
from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import notify
from flows.program import run_in_foreground
from flows.sentences import Sentences
from scenestyle.errors import InputError


def ends(error: BaseException) -> int:
    def fail() -> list[str]:
        raise error

    with temporary_settings({PREFECT_API_URL: None}):
        return run_in_foreground(lambda: None, fail)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (InputError("no photos"), "error: no photos\n"),
        (OSError(errno.ENOSPC, "full", "x"), "error: the disk is full (x)."),
    ],
)
def test_a_users_trouble_is_a_sentence(
    error: Exception, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ends(error) == 1
    assert capsys.readouterr().err.startswith(said)


def test_an_interrupt_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert ends(KeyboardInterrupt()) == 130
    assert "resumes" in capsys.readouterr().err


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        ends(ZeroDivisionError())


def test_a_server_that_is_gone_is_named_before_the_flow_begins(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        code = run_in_foreground(lambda: None, lambda: pytest.fail("the flow ran"))

    assert code == 1
    said = capsys.readouterr().err
    assert "no Prefect server answers at http://127.0.0.1:9/api" in said
    assert "prefect config unset PREFECT_API_URL" in said


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:9/api"])
def test_notifications_need_a_server_that_stays(
    url: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    with temporary_settings({PREFECT_API_URL: url}):
        assert notify.main(["http://127.0.0.1:9/hook"]) == 1
    said = capsys.readouterr().err
    assert ("names no Prefect server" if url is None else "no Prefect server answers") in said


@pytest.mark.parametrize(
    ("error", "message"),
    [(InputError("no photos"), "no photos"), (ZeroDivisionError("zero"), "it failed")],
)
def test_the_log_has_the_sentence_or_the_traceback(error: Exception, message: str) -> None:
    log = logging.getLogger("x")
    info = (type(error), error, None)
    record = log.makeRecord("x", logging.ERROR, "f", 1, "it failed", (), info)

    assert Sentences().filter(record)

    assert record.getMessage() == message
    assert (record.exc_info is None) == isinstance(error, InputError)


def test_a_temporary_server_that_does_not_answer_in_time_is_one_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = SubprocessASGIServer()

    def flow() -> list[str]:
        server.start(timeout=0.05)  # pyright: ignore[reportArgumentType]  # one try, at once
        return []

    try:
        with temporary_settings({PREFECT_API_URL: None}):
            assert run_in_foreground(lambda: None, flow) == 1
    finally:
        server.stop()
    said = capsys.readouterr().err
    assert "did not answer in time" in said
    assert "Traceback" not in said
