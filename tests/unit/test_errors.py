import errno

import pytest

from scenestyle.errors import reason


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "x"),
            "No such file or directory",
        ),
        (KeyError("frames"), "there is no 'frames'"),
        (KeyError(), "something is missing"),
        (TypeError("int() argument must be a string, not 'NoneType'"), "a value has another form"),
        (ValueError("line 1\n  line 2"), "line 1 line 2"),
        (RuntimeError(), "no reason was given"),
    ],
)
def test_a_librarys_error_is_handed_on_without_python(error: Exception, words: str) -> None:
    assert reason(error).startswith(words)
