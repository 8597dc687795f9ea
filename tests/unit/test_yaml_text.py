import math
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from scenestyle.errors import ParamsError
from scenestyle.yaml_text import line_of, parse, read_text


@pytest.mark.parametrize(
    "number", ["1e-2", "1e3", "-1e5", "1E+2", "1.", ".5", "1.5", "-0.0", "12", "007", "+3"]
)
def test_numbers_are_what_dvc_reads(number: str) -> None:
    """DVC reads with ruamel.yaml, by YAML 1.2."""
    ours, dvcs = parse(f"a: {number}", "x")["a"], YAML(typ="safe").load(f"a: {number}")["a"]

    assert isinstance(ours, float) == isinstance(dvcs, float)
    assert math.isclose(ours, dvcs)


@pytest.mark.parametrize("text", ["12e", "1e", "e5", "1.2.3", "."])
def test_other_words_stay_texts(text: str) -> None:
    assert not isinstance(parse(f"a: {text}", "x")["a"], float)


def test_a_key_that_stands_twice_is_refused_with_its_lines() -> None:
    with pytest.raises(ParamsError, match="'demo' stands twice, in lines 2 and 4"):
        parse("scenes:\n  demo: 1\n  fern: 2\n  demo: 3\n", "params.yaml")


def test_aliases_do_not_multiply() -> None:
    lists = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 30))

    assert len(parse(f"l0: &l0 [x]\n{lists}", "x")) == 30


def test_what_is_no_yaml_is_refused_with_line_and_column() -> None:
    with pytest.raises(ParamsError, match=r"params.yaml, line 2, column 1: not valid YAML"):
        parse("a: 1\n\tb: 2\n", "params.yaml")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a: ä".encode("latin-1"), "line 1: a character is not UTF-8. Save it as"),
        ("a: 1".encode("utf-16"), "saved as UTF-16. Save it as"),
    ],
)
def test_another_encoding_is_named_with_the_way_out(
    content: bytes, words: str, tmp_path: Path
) -> None:
    (tmp_path / "x").write_bytes(content)

    with pytest.raises(ParamsError, match=words):
        read_text(tmp_path / "x")


def test_the_line_of_an_entry() -> None:
    text = "a:\n  b: 1\n  c:\n    - x\n    - y\n"

    assert line_of(text, ["a", "c", 1]) == 5
    assert line_of(text, ["a", "none"]) == 1
    assert line_of(text, ["none"]) is None
