import copy
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from scenestyle.errors import ParamsError
from scenestyle.params import (
    Control,
    FinetuneNerf,
    Params,
    StylizeViews,
    TrainNerf,
    check_id,
    edit_key,
    load_params,
    lookup,
    params_faults,
    parse_params,
    stage_params,
)
from scenestyle.project.params_file import edit_entry, scene_entry

ROOT = Path(__file__).parents[2]


@pytest.fixture
def raw() -> dict[str, Any]:
    blocks = {field.name: {} for field in fields(Params)}
    return copy.deepcopy(
        {
            **blocks,
            "scenes": {"fern": scene_entry("a fern")},
            "styles": {"oil": {"prompt": "an oil painting of {caption}"}},
            "edits": {"fern-oil": edit_entry("fern", "oil")},
        }
    )


def test_the_projects_own_file_is_valid() -> None:
    params = load_params(ROOT / "params.yaml")
    assert set(params.edits) <= {f"{s}-{t}" for s in params.scenes for t in params.styles}


def test_the_projects_own_file_spells_out_every_stage_parameter() -> None:
    written = yaml.safe_load((ROOT / "params.yaml").read_text())
    for field in fields(Params):
        if field.name not in ("scenes", "styles", "edits"):
            assert set(written[field.name]) <= {f.name for f in fields(field.type)}, field.name


def test_parameters_cannot_be_changed_by_mistake(raw: dict[str, Any]) -> None:
    with pytest.raises(FrozenInstanceError):
        parse_params(raw).train_nerf.seed = 1  # pyright: ignore[reportAttributeAccessIssue]


def test_a_typo_and_three_other_errors_are_reported_together(raw: dict[str, Any]) -> None:
    raw["train_nerf"]["itertions"] = 5
    raw["styles"]["oil"]["strength"] = 1.5
    raw["stylize_views"]["strength"] = 0.5
    raw["edits"]["fern-ink"] = edit_entry("fern", "ink")
    raw["estimate_poses"]["seed"] = "one"
    with pytest.raises(ParamsError) as error:
        parse_params(raw)
    lines = str(error.value).splitlines()
    assert lines[0].endswith("5 faults")
    assert any(
        "stylize_views.strength: unknown key; it belongs in styles.ID" in line for line in lines
    )
    assert any(
        "train_nerf.itertions: unknown key" in line and "'iterations'" in line for line in lines
    )
    assert any("styles.oil.strength" in line and "1.5" in line for line in lines)
    assert any("edits.fern-ink: unknown style 'ink'" in line for line in lines)
    assert any("estimate_poses.seed" in line and '"one"' in line for line in lines)


@pytest.mark.parametrize(
    "name", ["../x", "a b", "a/b", "a-b", "a.b", "", "ä", "x" * 65, "a\n", "$(id)", "~"]
)
def test_hostile_names_are_refused(name: str, raw: dict[str, Any]) -> None:
    with pytest.raises(ParamsError, match="is not allowed"):
        check_id("scene", name)
    raw["scenes"][name] = {"caption": "x"}
    with pytest.raises(ParamsError, match="is not allowed"):
        parse_params(raw)


@pytest.mark.parametrize("key", [1, 1.5, True, None])
def test_names_that_yaml_reads_as_something_else_are_refused(key: Any, raw: dict[str, Any]) -> None:
    raw["styles"][key] = {"prompt": "x"}
    with pytest.raises(ParamsError, match="is not allowed"):
        parse_params(raw)


@pytest.mark.parametrize(
    "prompt", ["{captin} in oil", "{", "a } b", "{}", "{caption.x}", "{caption!r}"]
)
def test_only_the_caption_stands_in_braces(prompt: str, raw: dict[str, Any]) -> None:
    raw["styles"]["oil"]["prompt"] = prompt
    with pytest.raises(ParamsError, match=r"only \{caption\} may stand in braces"):
        parse_params(raw)


def test_an_edit_bears_the_names_of_its_scene_and_style(raw: dict[str, Any]) -> None:
    raw["edits"] = {"mine": {"scene": "fern", "style": "oil"}}
    with pytest.raises(ParamsError, match="its key must be 'fern-oil'"):
        parse_params(raw)


@pytest.mark.parametrize("content", [b"", b"- a", b"scenes", b"a: [", b"\x00", b"a: \xff"])
def test_a_file_that_is_no_mapping_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(ParamsError, match=r"params\.yaml"):
        load_params(path)


def test_a_missing_file_points_to_the_root_folder(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="within a project's folder"):
        load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize("block", [None, [], "x", {"fern": None}, {"fern": 3}])
def test_a_block_of_a_wrong_kind_is_refused(block: Any, raw: dict[str, Any]) -> None:
    raw["scenes"] = block
    with pytest.raises(ParamsError, match=r"  - scenes"):
        parse_params(raw)


def test_a_near_name_is_suggested(raw: dict[str, Any]) -> None:
    params = parse_params(raw)
    with pytest.raises(ParamsError, match="did you mean 'fern'"):
        lookup("scene", "ferm", params.scenes)
    with pytest.raises(ParamsError, match="scenestyle add-style bronze"):
        lookup("style", "bronze", params.styles)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"image": "a.png"}, "styles.oil.image_sha256: missing.*sha256sum a.png"),
        ({"image_sha256": "0" * 64}, "styles.oil.image: missing"),
        ({"image": "a.png", "image_sha256": "0" * 63}, "styles.oil.image_sha256: String should"),
    ],
)
def test_an_image_and_its_checksum_go_together(
    given: dict[str, Any], fault: str, raw: dict[str, Any]
) -> None:
    raw["styles"]["oil"] |= given
    with pytest.raises(ParamsError, match=fault):
        parse_params(raw)


FILE = {"model": "/models/mine.safetensors"}
SUM = {"model_sha256": "0" * 64}
LORA_SUM = {"sha256": "0" * 64}


@pytest.mark.parametrize(
    ("own", "wanted"),
    [
        (FILE, "stylize_views.model_sha256: missing; write the SHA-256 of the file"),
        ({"model": "sdxl"} | SUM, "model_sha256: is for a model that is one .safetensors file"),
        (FILE | SUM, None),
        ({"model": "/models/mine.ckpt"} | SUM, "stylize_views.model: such a file can run code"),
        (
            {"loras": [{"file": "ink.pt"} | LORA_SUM]},
            "stylize_views.loras.0.file: such a file can run code",
        ),
        ({"controls": ["smell"]}, "controls.0.kind: must be 'depth', 'tile', 'lineart' or 'canny'"),
        ({"controls": ["depth", {"kind": "tile", "scale": 0.5}]}, None),
        ({"controls": []}, "controls: must not be empty; null takes all"),
        (
            {"controls": [{"kind": "tile", "strat": 0.5}]},
            "controls.0.strat: unknown key; did you mean 'start'?",
        ),
        (
            {"controls": [{"kind": "depth", "start": 0.5, "end": 0.5}]},
            "controls.0.end: must be above start",
        ),
    ],
)
def test_a_model_of_ones_own_is_checked_in_the_stages_block_and_in_an_edits(
    own: dict[str, Any], wanted: str | None, raw: dict[str, Any]
) -> None:
    key = next(iter(raw["edits"]))
    raw["edits"][key]["stylize_views"] = own
    assert [wanted in each for each in params_faults(raw)] == [True] * bool(wanted)
    raw["edits"][key]["stylize_views"] = {}
    raw["stylize_views"] = raw["stylize_views"] | own
    assert [wanted in each for each in params_faults(raw)] == [True] * bool(wanted)


def test_the_kind_of_a_control_stands_for_one_of_the_models_own() -> None:
    short = StylizeViews(controls=("depth", "tile"))  # pyright: ignore[reportArgumentType]
    assert short == StylizeViews(controls=(Control("depth"), Control("tile")))


def test_the_key_of_an_edit(raw: dict[str, Any]) -> None:
    raw["styles"]["ink"] = {"prompt": "ink"}
    params = parse_params(raw)
    assert edit_key(params, "fern", "oil") == "fern-oil"
    with pytest.raises(ParamsError, match="scenestyle restyle fern ink"):
        edit_key(params, "fern", "ink")


def test_what_a_scene_or_an_edit_has_of_its_own_lies_over_the_stages_block(
    raw: dict[str, Any],
) -> None:
    raw["train_nerf"] = {"iterations": 50, "num_levels": 4}
    raw["scenes"]["fern"]["train_nerf"] = {"iterations": 70}
    raw["edits"]["fern-oil"]["finetune_nerf"] = {"patch_scales": [0.5]}
    params = parse_params(raw)
    assert stage_params(params, "train_nerf", "fern") == TrainNerf(iterations=70, num_levels=4)
    own = stage_params(params, "finetune_nerf", "fern", "oil")
    assert own == FinetuneNerf(patch_scales=(0.5,))
    assert stage_params(params, "evaluate", "fern", "oil") == params.evaluate


def test_faults_of_own_parameters_are_found_and_an_entry_must_spell_them_out(
    raw: dict[str, Any],
) -> None:
    raw["scenes"]["fern"]["train_nerf"] = {"itertions": 5, "seed": -1}
    raw["edits"]["fern-oil"]["evaluate"] = None
    del raw["edits"]["fern-oil"]["stylize_views"]
    with pytest.raises(ParamsError) as error:
        parse_params(raw)
    lines = str(error.value).splitlines()
    assert lines[0].endswith("4 faults")
    for words in (
        "scenes.fern.train_nerf.itertions: unknown key; did you mean 'iterations'?",
        "scenes.fern.train_nerf.seed: ",
        "edits.fern-oil.evaluate: ",
        "edits.fern-oil.stylize_views: missing; write {}",
    ):
        assert any(words in line for line in lines), words
