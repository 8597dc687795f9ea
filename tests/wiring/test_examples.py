"""What lies in examples/ is accepted by the project as it stands."""

from pathlib import Path

import pytest
import yaml

from scenestyle.params import load_params
from scenestyle.project.catalog import read_catalog
from scenestyle.project.params_file import read_raw

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


@pytest.mark.parametrize("catalog", sorted((EXAMPLES / "catalogs").glob("*.csv")), ids=str)
def test_a_catalog_is_without_faults(catalog: Path) -> None:
    assert read_catalog(catalog, read_raw(ROOT / "params.yaml")).wanted


@pytest.mark.parametrize("blocks", sorted((EXAMPLES / "params").glob("*.yaml")), ids=str)
def test_blocks_of_stages_fit_params_yaml(blocks: Path, tmp_path: Path) -> None:
    given = yaml.safe_load(blocks.read_text())
    params = tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump({**read_raw(ROOT / "params.yaml"), **given}))
    loaded = load_params(params)
    for stage, block in given.items():
        assert set(block) <= set(vars(getattr(loaded, stage)))


def test_every_example_is_in_the_list() -> None:
    listed = (EXAMPLES / "README.md").read_text()
    files = [path for path in EXAMPLES.rglob("*") if path.suffix in {".csv", ".yaml"}]
    assert [file for file in files if f"`{file.relative_to(EXAMPLES)}`" not in listed] == []
