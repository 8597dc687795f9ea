"""What Prefect shows of a result."""

import json
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.runtime import flow_run

from flows._show import artifact_key, show_result, summary
from scenestyle.artifacts import write_json, write_rgb
from scenestyle.viz.figures import read_figures

METRICS = {"movement_rmse": 0.2, "warp_short": 0.05, "warp_short_source": 0.01, "seconds": 3.0}


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    write_json(tmp_path / "metrics.json", METRICS)
    write_rgb(tmp_path / "stills/a_after.png", np.full((4, 6, 3), 0.5, np.float32))
    return [tmp_path / name for name in ("orbit.mp4", "report.html", "stills")]


def test_a_summary_names_what_is_not_good(tmp_path: Path) -> None:
    text = summary("fern-oil", read_figures(METRICS), tmp_path / "report.html")

    assert "1 good, 0 look here, 1 broken" in text
    assert "**Flicker, neighbouring frames**: 0.0500, broken" in text
    assert "Movement" not in text
    assert str(tmp_path / "report.html") in text


def test_a_key_is_one_that_prefect_takes() -> None:
    assert artifact_key("My_Fern-oil__2") == "my-fern-oil-2"


def test_a_run_carries_summary_table_and_picture(files: list[Path], prefect_server: None) -> None:
    @flow
    def shows() -> UUID:
        show_result("fern-oil", files)
        return UUID(str(flow_run.id))

    run = shows()
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
        )

    data = {artifact.type: artifact.data for artifact in found}
    assert data.keys() == {"markdown", "table", "image"}
    table = json.loads(str(data["table"]))
    assert [(line["figure"], line["verdict"]) for line in table] == [
        ("Movement", "good"),
        ("Flicker, neighbouring frames", "broken"),
    ]
    assert table[1]["controls"] == "source renders: 0.0100"
    assert str(data["image"]).startswith("data:image/png;base64,")
