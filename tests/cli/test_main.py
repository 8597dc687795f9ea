import hashlib
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from cli.main import COMMANDS, main
from scenestyle.params import load_params

PARAMS = """\
# A remark on top.
scenes:
  demo: {caption: some things, estimate_poses: {}, train_nerf: {}, render_views: {}}   # ours

styles:
  oil:
    prompt: "oil painting of {caption}"
    seed: 3

  # A remark on what follows.
edits: {}
estimate_poses: {}
train_nerf: {}
render_views: {}
stylize_views: {}
finetune_nerf: {}
evaluate: {}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "params.yaml").write_text(PARAMS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    noise = np.random.default_rng(0)
    for name in ("1.JPG", "2.jpeg", "10.png"):
        Image.fromarray(noise.integers(0, 255, (24, 32, 3), dtype=np.uint8)).save(folder / name)
    (folder / "notes.txt").write_text("ignored")
    return folder


def fails(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert stop.value.code == 1
    return capsys.readouterr().err


def everything(project: Path) -> dict[str, bytes]:
    return {str(p.relative_to(project)): p.read_bytes() for p in project.rglob("*") if p.is_file()}


def test_a_scene_a_style_and_an_edit_leave_all_other_bytes_alone(
    project: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["add-scene", "fern", str(photos), "--caption", 'a "fern": #1'])
    main(["add-style", "ink", "ink drawing of {caption}", "--strength", "0.4", "--seed", "7"])
    main(["restyle", "fern", "ink"])
    added = [
        '  fern: {caption: "a \\"fern\\": #1", estimate_poses: {}, train_nerf: {}, render_views: {}}\n',
        '  ink: {prompt: "ink drawing of {caption}", strength: 0.4, seed: 7}\n',
    ]
    lines = (project / "params.yaml").read_text().splitlines(keepends=True)
    rest = "".join(line for line in lines if line not in added)
    edit = "{scene: fern, style: ink, stylize_views: {}, finetune_nerf: {}, evaluate: {}}"
    assert rest == PARAMS.replace("edits: {}", f"edits: {{fern-ink: {edit}}}")
    said = capsys.readouterr().out
    assert "3 pictures of 32x24 pixels" in said
    assert "notes.txt" in said
    assert "dvc repro evaluate@fern-ink" in said
    assert "python -m flows.stylize_scene --scene fern --style ink" in said


def test_a_scene_is_a_copy_of_its_photos(project: Path, photos: Path) -> None:
    main(["add-scene", "fern", str(photos), "--caption", "a fern"])
    copied = project / "data/scenes/fern"
    assert {p.name for p in copied.iterdir()} == {"1.JPG", "2.jpeg", "10.png"}
    assert all(p.read_bytes() == (photos / p.name).read_bytes() for p in copied.iterdir())


def test_a_folder_that_is_in_its_place_is_taken_as_it_is(project: Path, photos: Path) -> None:
    place = project / "data/scenes/fern"
    place.parent.mkdir(parents=True)
    photos.rename(place)
    main(["add-scene", "fern", "data/scenes/fern", "--caption", "a fern"])
    assert "fern" in yaml.safe_load((project / "params.yaml").read_text())["scenes"]
    assert len(list(place.iterdir())) == 4


def test_of_a_posed_dataset_what_is_used_is_copied_and_the_rest_is_named(
    project: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = [
        {
            "file_path": name,
            "transform_matrix": [[1, 0, 0, x], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
        }
        for x, name in enumerate(("1.JPG", "2.jpeg", "10.png"))
    ]
    (photos / "transforms.json").write_text(json.dumps({"fl_x": 30.0, "frames": frames}))
    main(["add-scene", "fern", str(photos), "--caption", "a fern"])
    assert (project / "data/scenes/fern/transforms.json").is_file()
    assert not (project / "data/scenes/fern/notes.txt").exists()
    assert "Left out: 1 other file (notes.txt)" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["../x", "a b", "a/b", "a-b", "."])
def test_hostile_names_add_nothing(
    name: str, project: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = everything(project)
    assert "is not allowed" in fails(capsys, "add-scene", name, str(photos), "--caption", "x")
    assert "is not allowed" in fails(capsys, "add-style", name, "x")
    assert "is not allowed" in fails(capsys, "restyle", name, "oil")
    assert everything(project) == before


def test_a_damaged_photo_adds_nothing(
    project: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = everything(project)
    (photos / "2.jpeg").write_bytes((photos / "2.jpeg").read_bytes()[:200])
    (photos / "3.png").write_bytes(b"")
    said = fails(capsys, "add-scene", "fern", str(photos), "--caption", "x")
    assert "2.jpeg" in said
    assert "3.png" in said
    assert everything(project) == before


@pytest.mark.parametrize("kind", ["missing", "a file", "empty", "the project"])
def test_a_source_that_is_no_scene_adds_nothing(
    kind: str, project: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = {
        "missing": photos / "nowhere",
        "a file": photos / "1.JPG",
        "empty": project / "empty",
        "the project": project,
    }[kind]
    (project / "empty").mkdir()
    before = everything(project)
    assert str(source) in fails(capsys, "add-scene", "fern", str(source), "--caption", "x")
    assert everything(project) == before


def test_a_caption_that_params_refuse_adds_nothing(
    project: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = everything(project)
    assert "caption" in fails(capsys, "add-scene", "fern", str(photos), "--caption", "")
    assert everything(project) == before
    assert not (project / "data/scenes/fern").exists()


def test_existing_names_are_refused(
    project: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = everything(project)
    assert "already" in fails(capsys, "add-scene", "demo", str(photos), "--caption", "x")
    assert "already" in fails(capsys, "add-style", "oil", "x")
    (project / "data/scenes/left").mkdir(parents=True)
    assert "remove that folder" in fails(capsys, "add-scene", "left", str(photos), "--caption", "x")
    assert everything(project) == before


def test_a_style_out_of_range_adds_nothing_and_names_every_fault(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = everything(project)
    said = fails(
        capsys, "add-style", "ink", "of {captin}", "--strength", "1.5", "--guidance-scale", "0"
    )
    assert "3 faults" in said
    assert everything(project) == before


def test_the_image_of_a_style_is_copied_and_known_by_its_content(
    project: Path, photos: Path
) -> None:
    image = photos / "1.JPG"
    main(["add-style", "ink", "ink of {caption}", "--image", str(image), "--image-scale", "0.8"])
    copy = project / "data/styles/ink.jpg"
    assert copy.read_bytes() == image.read_bytes()
    ink = load_params(project / "params.yaml").styles["ink"]
    assert ink.image == "data/styles/ink.jpg"
    assert ink.image_sha256 == hashlib.sha256(image.read_bytes()).hexdigest()
    assert ink.image_scale == 0.8


def test_a_style_that_is_refused_leaves_no_image(
    project: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = everything(project)
    image, notes = str(photos / "10.png"), str(photos / "notes.txt")
    assert "3 faults" not in fails(capsys, "add-style", "ink", "x", "--image", notes)
    assert "1 fault" in fails(capsys, "add-style", "ink", "of {captin}", "--image", image)
    assert everything(project) == before
    other = project / "data/styles/ink.png"
    other.write_bytes(b"somebody's")
    assert "exists already" in fails(capsys, "add-style", "ink", "x", "--image", image)
    assert other.read_bytes() == b"somebody's"


def test_asking_twice_changes_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["restyle", "demo", "oil"])
    before = everything(project)
    main(["restyle", "demo", "oil"])
    assert everything(project) == before
    assert "already" in capsys.readouterr().out


def test_unknown_names_are_corrected(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'demo'" in fails(capsys, "restyle", "dmo", "oil")
    assert "scenestyle add-style bronze" in fails(capsys, "restyle", "demo", "bronze")
    assert "did you mean 'oil'" in fails(capsys, "preview", "demo", "oyl")


def test_a_preview_needs_rendered_views(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "dvc repro render_views@demo" in fails(capsys, "preview", "demo")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "add-scene fern photos --caption x --masks nowhere",
            "nowhere is no folder; wanted is the folder of the masks",
        ),
        (
            "add-scene fern walk.mp4 --caption x --start 3 --stop 2",
            "start 3 and stop 2 of the video: wanted 0 <= start < stop",
        ),
        ("make-catalog notes c.csv oil", "notes holds no captures:\n  - readme.txt: "),
        ("open demo oil", "report.html: not made yet. Run: dvc repro evaluate@demo-oil"),
        ("preview demo --views 0", "--views: must be above 0, got 0"),
        ("prune --older-than -1", "--older-than: must be 0 or more days, got -1"),
        ("watch --every 0", "--every: must be above 0, got 0"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    words: str, said: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit = "{scene: demo, style: oil, stylize_views: {}, finetune_nerf: {}, evaluate: {}}"
    (project / "params.yaml").write_text(PARAMS.replace("{}\nest", f"{{demo-oil: {edit}}}\nest", 1))
    (project / "notes").mkdir()
    (project / "notes/readme.txt").write_text("no video")
    before = everything(project)
    assert said in fails(capsys, *words.split())
    assert everything(project) == before


def test_outside_a_project_its_folder_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "within a project's folder" in fails(capsys, "restyle", "demo", "oil")


def test_in_a_sub_folder_the_project_is_found_and_paths_start_there(
    project: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "dvc.yaml").touch()
    below = project / "notes" / "deep"
    below.mkdir(parents=True)
    photos.rename(below / "photos")
    monkeypatch.chdir(below)

    main(["add-scene", "fern", "photos", "--caption", "a fern"])

    assert len(list((project / "data/scenes/fern").iterdir())) == 3


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--version"])

    assert capsys.readouterr().out == f"scenestyle {version('scenestyle')}\n"
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "scenestyle --version" in capsys.readouterr().out


def test_hints_at_a_misspelt_option_are_of_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["prune", "--older-then", "3"])
    said = "".join(capsys.readouterr())
    assert stop.value.code == 2
    assert "--older-than INT" in said
    with pytest.raises(SystemExit):
        main(["status", "--al"])
    assert "add-style" not in "".join(capsys.readouterr())


def test_a_mistyped_command_is_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["restile", "fern", "oil"])

    assert stop.value.code == 2
    assert "did you mean 'restyle'?" in capsys.readouterr().err


def test_troubles_of_the_system_are_sentences(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(COMMANDS, "full", full_disk)

    said = fails(capsys, "full")

    assert said == "error: the disk is full (/dev/full). Make room; what is recorded is intact.\n"


def full_disk() -> None:
    """Write to a device that is always full."""
    path = Path("/dev/full")
    try:
        path.write_bytes(bytes(10**6))
    except OSError as error:
        error.filename = str(path)
        raise


def test_what_a_prompt_lacks_is_said_when_it_is_added(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["add-style", "a", "{caption} in the manner of nobody"])
    assert "names no style that this model knows" in capsys.readouterr().out
    main(["add-style", "b", "a watercolor painting"])
    assert "has no {caption}" in capsys.readouterr().out
    main(["add-style", "c", f"a watercolor of {{caption}}, {'very ' * 40}wet"])
    assert "will not see 'very" in capsys.readouterr().out
    assert "must say how" in fails(capsys, "add-style", "d", "   ")
    main(["add-style", "e", "a watercolor painting of {caption}"])
    assert capsys.readouterr().out == "Added style e.\nNext: scenestyle restyle SCENE e\n"


def test_an_instruction_and_a_model_of_another_kind_are_told_apart_when_it_is_added(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["add-style", "snow", "make it snow", "--image-guidance-scale", "1.8"])
    assert "it needs a model that edits by instruction" in capsys.readouterr().out
    assert load_params(project / "params.yaml").styles["snow"].image_guidance_scale == 1.8
    text = (project / "params.yaml").read_text()
    chosen = text.replace("stylize_views: {}", "stylize_views: {model: instruct-pix2pix}")
    (project / "params.yaml").write_text(chosen)
    main(["add-style", "rain", "make it rain"])
    assert capsys.readouterr().out == "Added style rain.\nNext: scenestyle restyle SCENE rain\n"
    main(["add-style", "wet", "{caption} in the rain"])
    assert "Say what is to change" in capsys.readouterr().out


def test_sentences_about_a_long_prompt_stay_short(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["add-style", "long", "word " * 5000])
    assert max(map(len, capsys.readouterr().out.splitlines())) < 500


@pytest.mark.parametrize("command", COMMANDS)
def test_help_speaks_no_python(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    said = capsys.readouterr().out
    assert "None" not in said
    assert "(default: )" not in said


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"Example: scenestyle {command}" in capsys.readouterr().out


def test_a_catalog_is_made_of_a_folder_of_captures(
    project: Path,
    photos: Path,
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
) -> None:
    captures = tmp_path_factory.mktemp("captures")
    photos.rename(captures / "old fern")
    (captures / "readme.txt").write_text("no video")
    assert "no style is named" in fails(capsys, "make-catalog", str(captures), "c.csv")
    assert "did you mean 'oil'" in fails(capsys, "make-catalog", str(captures), "c.csv", "oyl")
    main(["make-catalog", str(captures), "c.csv", "oil"])
    said = capsys.readouterr().out
    assert "c.csv: 1 scenes, each in 1 styles." in said
    assert "  - readme.txt: " in said
    assert (project / "c.csv").read_text() == (
        f"scene,source,caption,styles\nold_fern,{captures}/old fern,old fern,oil\n"
    )
    assert "exists already" in fails(capsys, "make-catalog", str(captures), "c.csv", "oil")
