import inspect
import json
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tasks
from engine.stage import BusyError, InputsChangedError, parse, perform, stage_name
from scenestyle.errors import GateError, InputError, ParamsError
from scenestyle.params import EstimatePoses, FinetuneNerf, RenderViews, Style, StylizeViews
from tests.support.toy_project import PARAMS, Toy

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "data/views/garden").mkdir(parents=True)
    (tmp_path / "data/views/garden/a.txt").write_text("a view")
    monkeypatch.chdir(tmp_path)
    return tmp_path


ARGUMENTS = [
    *("--scene", "garden", "--style", "oil", "--views", "data/views/garden"),
    *("--out", "data/stylized/garden/oil"),
]


def paint(
    views: Path, out: Path, params: StylizeViews, *, work: Path, caption: str, style: Style
) -> dict[str, object]:
    """Write what was given."""
    assert list(out.iterdir()) == []
    (out / "given.txt").write_text(f"{caption}, {style.prompt}, {params.seed}")
    return {"num_views": len(list(views.iterdir()))}


def leftovers(project: Path) -> list[str]:
    return [
        str(path.relative_to(project))
        for path in project.rglob("*")
        if ".partial-" in path.name or (".work" in path.parts and path.name != ".work")
    ]


def test_the_signature_is_the_command_line(project: Path) -> None:
    figures = perform(paint, parse(paint, ARGUMENTS))
    assert figures == {"num_views": 1}
    written = (project / "data/stylized/garden/oil/given.txt").read_text()
    assert written == "a garden, oil painting of {caption}, 0"


def test_a_stage_is_known_by_its_parameters() -> None:
    assert stage_name(FinetuneNerf) == "finetune_nerf"


def test_success_leaves_only_the_result(project: Path) -> None:
    perform(paint, parse(paint, ARGUMENTS))
    assert leftovers(project) == [".work/stylize_views"]


def test_an_older_result_is_replaced_as_a_whole(project: Path) -> None:
    old = project / "data/stylized/garden/oil"
    old.mkdir(parents=True)
    (old / "old.txt").touch()
    perform(paint, parse(paint, ARGUMENTS))
    assert {path.name for path in old.iterdir()} == {"given.txt", "provenance.json"}


def test_a_result_names_settings_commit_and_machine(project: Path) -> None:
    def git(*words: str) -> str:
        who = ("-c", "user.name=test", "-c", "user.email=test@example.com")
        return subprocess.check_output(["git", *who, *words], text=True).strip()

    note = project / "data/stylized/garden/oil/provenance.json"
    perform(paint, parse(paint, ARGUMENTS))
    outside = json.loads(note.read_text())
    assert outside["code"] == {}
    assert outside["settings"]["style"]["prompt"] == "oil painting of {caption}"
    assert outside["settings"]["params"]["seed"] == 0
    assert outside["machine"]["host"] == platform.node()
    assert outside["versions"]["python"] == platform.python_version()

    (project / "tasks").mkdir()
    (project / "tasks/stage.py").write_text("1")
    git("init", "--quiet")
    git("add", "tasks")
    git("commit", "--quiet", "--message", "first")
    perform(paint, parse(paint, ARGUMENTS))
    committed = note.read_bytes()
    assert json.loads(committed)["code"] == {"commit": git("rev-parse", "HEAD"), "edited": []}
    perform(paint, parse(paint, ARGUMENTS))
    assert note.read_bytes() == committed

    (project / "tasks/stage.py").write_text("2")
    perform(paint, parse(paint, ARGUMENTS))
    assert json.loads(note.read_text())["code"]["edited"] == ["tasks/stage.py"]


def test_failure_leaves_the_older_result_and_the_checkpoints(project: Path) -> None:
    def fail(
        views: Path, out: Path, params: StylizeViews, *, work: Path, caption: str, style: Style
    ) -> dict[str, object]:
        (work / "checkpoint").touch()
        (out / "half").touch()
        raise GateError("not good enough")

    perform(paint, parse(paint, ARGUMENTS))
    with pytest.raises(GateError):
        perform(fail, parse(fail, ARGUMENTS))
    left = {path.name for path in (project / "data/stylized/garden/oil").iterdir()}
    assert left == {"given.txt", "provenance.json"}
    assert [Path(name).name for name in leftovers(project)][-1] == "checkpoint"
    assert not any(".partial-" in name for name in leftovers(project))


def test_checkpoints_are_found_again_only_with_equal_inputs(project: Path) -> None:
    seen: list[bool] = []

    def interrupted(
        views: Path, out: Path, params: RenderViews, *, work: Path
    ) -> dict[str, object]:
        seen.append((work / "checkpoint").exists())
        (work / "checkpoint").touch()
        raise KeyboardInterrupt

    arguments = ["--scene", "garden", "--views", "data/views/garden", "--out", "data/x/garden"]
    photo, params = project / "data/views/garden/a.txt", project / "params.yaml"
    for change in (
        lambda: None,
        lambda: os.utime(photo),
        lambda: photo.write_text("another view"),
        lambda: params.write_text(PARAMS.replace("max_image_side: 64", "max_image_side: 65")),
        lambda: params.write_text(
            params.read_text().replace("finetune_nerf: {seed: 0}", "finetune_nerf: {}")
        ),
    ):
        change()
        with pytest.raises(KeyboardInterrupt):
            perform(interrupted, parse(interrupted, arguments))
    with pytest.raises(KeyboardInterrupt):
        perform(interrupted, parse(interrupted, arguments))
    # nothing, a new date, a new photo, a new parameter, the parameter of another stage, nothing
    assert seen == [False, True, False, False, True, True]


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (lambda root: (root / "data/views/garden/a.txt").write_text("edited"), "a.txt"),
        (lambda root: (root / "data/views/garden/b.txt").touch(), "b.txt"),
        (lambda root: (root / "data/views/garden/a.txt").unlink(), "a.txt"),
        (
            lambda root: (root / "params.yaml").write_text(PARAMS.replace("oil pain", "OIL pain")),
            "params.yaml",
        ),
    ],
)
def test_a_result_is_dropped_if_its_inputs_changed_meanwhile(
    edit, named: str, project: Path
) -> None:
    def edited(
        views: Path, out: Path, params: StylizeViews, *, work: Path, caption: str, style: Style
    ) -> dict[str, object]:
        edit(project)
        return {}

    with pytest.raises(InputsChangedError, match=named):
        perform(edited, parse(edited, ARGUMENTS))
    assert not (project / "data/stylized/garden/oil").exists()


def test_edits_that_do_not_concern_the_stage_do_not_disturb_it(project: Path) -> None:
    def edited(
        views: Path, out: Path, params: StylizeViews, *, work: Path, caption: str, style: Style
    ) -> dict[str, object]:
        other = PARAMS.replace("ink drawing", "INK drawing").replace("64", "65")
        (project / "params.yaml").write_text(other)
        return {}

    perform(edited, parse(edited, ARGUMENTS))
    assert (project / "data/stylized/garden/oil").is_dir()


def test_changed_parameters_end_a_run_that_others_would_wait_hours_for(
    project: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr("engine.stage._SECONDS_BETWEEN_LOOKS", 0.02)
    params_file, reached = project / "params.yaml", []

    def long(
        views: Path, out: Path, params: StylizeViews, *, work: Path, caption: str, style: Style
    ) -> dict[str, object]:
        (work / "checkpoint").touch()
        for text in texts:
            if params_file.read_text() != text:
                params_file.write_text(text)
            time.sleep(0.2)
            reached.append(text)
        return {}

    # As a shell starts what is to run in the background.
    of_ctrl_c = signal.signal(signal.SIGINT, signal.SIG_IGN)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, of_ctrl_c))
    another = PARAMS.replace("ink drawing", "INK drawing")
    mine = PARAMS.replace("oil painting", "OIL painting")
    texts = [another, "half a fi", PARAMS, mine, *[mine] * 300]
    with pytest.raises(InputsChangedError, match=r"params\.yaml was changed while stylize_views"):
        perform(long, parse(long, ARGUMENTS))
    assert reached[:3] == [another, "half a fi", PARAMS]
    assert len(reached) < 300
    assert [Path(name).name for name in leftovers(project)][-1] == "checkpoint"

    texts = [another, PARAMS]
    params_file.write_text(PARAMS)
    perform(long, parse(long, ARGUMENTS))


def test_ctrl_c_stays_ctrl_c(project: Path) -> None:
    def interrupted(
        views: Path, out: Path, params: StylizeViews, *, work: Path, caption: str, style: Style
    ) -> dict[str, object]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        perform(interrupted, parse(interrupted, ARGUMENTS))


def test_code_that_changed_under_a_running_stage_drops_its_result(toy: Toy) -> None:
    toy.plant_trouble(
        "stylize_views",
        "p = Path('tasks/stylize_views.py'); p.write_text(p.read_text() + '# new')",
    )
    done = toy.run("dvc", "repro", "--force", "--single-item", "stylize_views@garden-oil")
    assert done.returncode != 0
    assert "tasks/stylize_views.py was changed while stylize_views ran" in done.stdout


def test_a_stage_without_checkpoints_needs_no_folder_for_them(project: Path) -> None:
    def run(views: Path, out: Path, params: RenderViews) -> dict[str, object]:
        return {"max_image_side": params.max_image_side}

    arguments = ["--scene", "garden", "--views", "data/views/garden", "--out", "data/x/garden"]
    assert perform(run, parse(run, arguments)) == {"max_image_side": 64}


def test_a_missing_input_names_the_stage_that_makes_it() -> None:
    with pytest.raises(InputError, match="dvc repro render_views@tower"):
        parse(paint, [*ARGUMENTS[:5], "data/views/tower", *ARGUMENTS[6:]])


def test_a_missing_result_of_an_edit_names_its_instance() -> None:
    def run(stylized: Path, out: Path, params: FinetuneNerf) -> dict[str, object]:
        raise AssertionError

    with pytest.raises(InputError, match="dvc repro stylize_views@garden-ink"):
        parse(run, [*ARGUMENTS[:4], "--stylized", "data/stylized/garden/ink", "--out", "x"])


def test_a_missing_scene_says_how_to_add_it() -> None:
    def run(source: Path, out: Path, params: EstimatePoses, *, work: Path) -> dict[str, object]:
        raise AssertionError

    with pytest.raises(InputError, match="scenestyle add-scene tower PHOTOS"):
        parse(run, ["--scene", "tower", "--source", "data/scenes/tower", "--out", "x"])


def test_a_scene_and_an_edit_may_have_parameters_of_their_own(project: Path) -> None:
    text = PARAMS.replace("render_views: {}}   # mine", "render_views: {max_image_side: 32}}")
    text = text.replace("style: oil, stylize_views: {}", "style: oil, stylize_views: {seed: 7}")
    (project / "params.yaml").write_text(text)
    perform(paint, parse(paint, ARGUMENTS))
    written = (project / "data/stylized/garden/oil/given.txt").read_text()
    assert written == "a garden, oil painting of {caption}, 7"

    def run(views: Path, out: Path, params: RenderViews) -> dict[str, object]:
        return {"max_image_side": params.max_image_side}

    arguments = ["--scene", "garden", "--views", "data/views/garden", "--out", "data/x/garden"]
    assert perform(run, parse(run, arguments)) == {"max_image_side": 32}


def test_a_style_that_is_not_asked_for_is_refused() -> None:
    job = parse(paint, ["--scene", "garden", "--style", "pen", *ARGUMENTS[4:]])
    with pytest.raises(ParamsError, match="scenestyle restyle garden pen"):
        perform(paint, job)


def test_an_unknown_style_is_corrected() -> None:
    job = parse(paint, ["--scene", "garden", "--style", "oyl", *ARGUMENTS[4:]])
    with pytest.raises(ParamsError, match="did you mean 'oil'"):
        perform(paint, job)


def test_the_same_work_is_not_done_twice_at_once() -> None:
    def again(
        views: Path, out: Path, params: StylizeViews, *, work: Path, caption: str, style: Style
    ) -> dict[str, object]:
        with pytest.raises(BusyError, match="another process"):
            perform(again, parse(again, ARGUMENTS))
        return {}

    perform(again, parse(again, ARGUMENTS))


@pytest.fixture
def stage(project: Path) -> Path:
    """A stage program in a file of its own; the test writes the body of its `run`."""
    return project / "program.py"


def program(path: Path, body: str) -> list[str]:
    path.write_text(
        "from pathlib import Path\n"
        "from scenestyle.errors import *\n"
        "from scenestyle.params import *\n"
        "from engine.stage import stage_main\n"
        "def run(views: Path, out: Path, params: StylizeViews, *, work: Path, caption: str, style: "
        "Style) -> dict[str, object]:\n"
        f"    {body}\n"
        "stage_main(run)\n"
    )
    return [sys.executable, str(path), *ARGUMENTS]


def test_an_error_of_the_users_is_one_message(stage: Path) -> None:
    command = program(stage, "raise InputError('no photos.\\nTake some.')")
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "error: no photos.\nTake some.\n")


def test_an_error_of_ours_is_a_traceback(stage: Path) -> None:
    done = subprocess.run(program(stage, "1 / 0"), capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_figures_go_to_the_log(stage: Path) -> None:
    command = program(stage, "return {'mean_psnr': 25.5, 'lost': [], 'versions': {'x': '1'}}")
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0
    assert "stylize_views: mean psnr 25.5, written to " in done.stderr
    assert "[]" not in done.stderr
    assert "{" not in done.stderr


def test_a_stage_dies_with_the_process_that_started_it(stage: Path, project: Path) -> None:
    command = program(
        stage, "import os, time; Path('pid').write_text(str(os.getpid())); time.sleep(60)"
    )
    launcher = f"import subprocess; subprocess.run({command!r})"
    with subprocess.Popen([sys.executable, "-c", launcher]) as parent:
        pid = int(wait_for(lambda: (project / "pid").read_text()))
        parent.kill()
    wait_for(lambda: not Path(f"/proc/{pid}").exists() or state(pid) == "Z")


def test_ctrl_c_says_that_the_work_is_kept(stage: Path, project: Path) -> None:
    command = program(stage, "import time; Path('pid').touch(); time.sleep(60)")
    with subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        # tests that run in the background of a shell inherit that it is ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        wait_for((project / "pid").exists)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode == 130
    assert said == "interrupted; the next run goes on from the last checkpoint\n"


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def wait_for(condition, seconds: float = 20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if found := condition():
                return found
        except (FileNotFoundError, ValueError):
            pass
        time.sleep(0.05)
    raise TimeoutError(inspect.getsource(condition))


def test_the_shell_imports_no_framework() -> None:
    code = "import sys, engine.stage; print(sorted({'torch', 'dvc', 'prefect'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "[]\n"
    assert Path(tasks.__file__).is_relative_to(ROOT)
