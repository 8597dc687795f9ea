"""What the documentation says of the tree is true; `mkdocs build --strict` checks its own links."""

import re
from pathlib import Path

import pytest

from cli import help_page

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("examples/*.md")])
HISTORY = {"CHANGELOG.md"}
"""tells of files as they were"""
MADE = {"data", "outputs", ".work", ".dvc"}
"""folders of what is made by running"""


def named_paths(text: str) -> set[str]:
    """Files and folders of this repository that stand between backticks, without placeholders."""
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"(?ms)^```.*?^```", "", text))
    paths = {span for span in spans if re.fullmatch(r"[\w.-]+(/[\w.*-]+)+/?", span)}
    return {
        path
        for path in paths
        if path.split("/")[0] not in MADE and (ROOT / path.split("/")[0]).exists()
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_named_in_a_page_exist(page: Path) -> None:
    if page.name not in HISTORY:
        named = named_paths(page.read_text())
        here = (ROOT, page.parent)
        assert [path for path in sorted(named) if not any(any(at.glob(path)) for at in here)] == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_links_outside_of_the_site_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text())
    local = [link.split("#")[0] for link in links if "://" not in link and link[0] != "#"]
    assert [link for link in local if not (ROOT / link).exists()] == []


def test_the_page_of_the_command_line_shows_its_help() -> None:
    """If not: python -m cli.help_page --write."""
    assert (ROOT / help_page.PAGE).read_text() == help_page.page()


def test_a_wrong_path_would_be_seen() -> None:
    assert named_paths("`engine/no_such.py` and `data/views` and `gone/x.py`") == {
        "engine/no_such.py"
    }
