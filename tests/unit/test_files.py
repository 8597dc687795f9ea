import subprocess
import sys
from pathlib import Path

import pytest

from scenestyle.files import is_locked, locked, partial_of, whole_file, whole_folder, write_whole


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_takes_its_place_when_it_is_whole(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "new" / "a.json"
    with whole_file(path, durable=durable) as partial:
        partial.write_text("1")
        assert partial == partial_of(path)
        assert partial.suffix == path.suffix
        assert not path.exists()
    write_whole(path, "zwei é")
    assert path.read_text(encoding="utf-8") == "zwei é"
    assert names(path.parent) == ["a.json"]


def test_a_file_whose_writer_fails_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "half\ud800")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.json"]


def test_a_folder_takes_its_place_with_nothing_left_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "out"
    for name in ("old", "new"):
        with whole_folder(path) as partial:
            (partial / name).touch()
    assert names(path) == ["new"]
    assert names(tmp_path) == ["out"]


def test_a_folder_whose_writer_fails_stays_and_what_a_kill_left_does_not_mix_in(
    tmp_path: Path,
) -> None:
    path = tmp_path / "out"
    path.mkdir()
    (path / "old").touch()
    (partial_of(path) / "left by a kill").mkdir(parents=True)
    with pytest.raises(FileNotFoundError), whole_folder(path) as partial:
        (partial / "left by a kill").rmdir()
    assert names(path) == ["old"]
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("name", ["folder", "folder/file.lock"])
def test_a_lock_is_one_processes_and_ends_with_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    path = tmp_path / name
    holder = (
        "import sys, time; from pathlib import Path; from scenestyle.files import locked\n"
        "with locked(Path(sys.argv[1])):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert is_locked(path)
        with pytest.raises(BlockingIOError), locked(path, wait=False):
            pass
        process.kill()
    with locked(path):
        assert path.exists()
    assert not is_locked(path)
