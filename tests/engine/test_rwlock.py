"""DVC's list of the files in use: a kill never leaves it torn, and a torn one stops nobody."""

import json

import pytest

from engine import run_stage
from tests.support.toy_project import Toy

NAME = "stylize_views@garden-oil"


@pytest.mark.parametrize("torn", ["", '{"read": {"/somewhere'])
def test_a_torn_list_begins_anew(torn: str, toy: Toy) -> None:
    toy.replace("oil painting of", "big oil painting of")
    locks = toy.root / ".dvc/tmp/rwlock"
    locks.write_text(torn)
    said: list[str] = []
    assert run_stage(NAME, root=toy.root, log=said.append).kind == "ran"
    assert "rwlock was torn by a killed dvc" in "".join(said)
    assert json.loads(locks.read_text()) == {}


_KILLED_WHILE_WRITING = """\
import json, os, signal, sys
from engine import dvc_cli, rwlock

def begin_to_print(data, stream):
    stream.write("{{")
    stream.flush()
    os.kill(os.getpid(), signal.SIGKILL)

if not {ours}:
    rwlock.teach_dvc = lambda: None
json.dump = begin_to_print
sys.argv[1:] = ["repro", "--single-item", "{name}"]
dvc_cli.main()
"""


@pytest.mark.parametrize("ours", [True, False])
def test_a_kill_in_the_middle_of_writing_tears_nothing(ours: bool, toy: Toy) -> None:
    """With DVC's own way of writing the same kill leaves a list that no command can read."""
    toy.replace("oil painting of", "big oil painting of")
    locks = toy.root / ".dvc/tmp/rwlock"
    locks.write_text("{}")
    done = toy.run("python", "-c", _KILLED_WHILE_WRITING.format(ours=ours, name=NAME))
    assert done.returncode == -9, done.stdout
    assert locks.read_text() == ("{}" if ours else "{")
    assert run_stage(NAME, root=toy.root).kind == "ran"
