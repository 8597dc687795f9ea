"""What catalogs cost: reading 1,000 new rows, a night with nothing to do, and what it leaves in Prefect's database.

    python -m benchmarks.catalogs                       # writes benchmarks/results/catalogs_*.md
    python -m benchmarks.catalogs --pairs 2x3 --nights 2

On the toy project of the tests: the real graph and engine, stages that only mix bytes. Results are
laid out and recorded directly, since DVC would take an hour for it.
"""

import argparse
import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from benchmarks.engine import cost
from benchmarks.machine import provenance, table, write_result
from tests.support.toy_project import ROOT, Toy

_CONTENTS = {
    "metrics.json": '{"digest": 1}',
    "flicker.csv": "frame,after\n1,2\n",
    "losses.csv": "step,style\n1,2\n",
}


def write_catalog(root: Path, num_scenes: int, num_styles: int) -> Path:
    """A catalog with a row per scene and style, and its captures in place."""
    scenes, styles = [f"s{n:04d}" for n in range(num_scenes)], range(num_styles)
    for scene in scenes:
        (root / "data/scenes" / scene).mkdir(parents=True)
        (root / "data/scenes" / scene / "photo.txt").write_text(scene)
    rows = [f"{scene},a thing,made of stuff {style}" for scene in scenes for style in styles]
    (root / "catalog.csv").write_text("\n".join(["scene,caption,styles", *rows, ""]))
    return root / "catalog.csv"


def taken_in(root: Path, catalog: Path) -> tuple[float, float]:
    """Read a catalog and write it to params.yaml; processor seconds of both."""
    from scenestyle.project.catalog import read_catalog
    from scenestyle.project.params_file import read_raw, update

    start = time.process_time()
    found = read_catalog(catalog, read_raw(root / "params.yaml"))
    middle = time.process_time()
    update(root / "params.yaml", found.changes)
    return middle - start, time.process_time() - middle


def lay_out_results(root: Path) -> int:
    """Write and record a result for every stage; their number."""
    from dvc.dependency import ParamsDependency
    from dvc.repo import Repo
    from dvc.stage.serialize import to_lockfile
    from dvc.utils.serialize import load_path
    from dvc_data.hashfile.hash_info import HashInfo

    from engine import Pipeline, lockfile
    from engine.pipeline import _forget_staged_folders, value_at
    from scenestyle.files import write_whole

    pipeline = Pipeline(root)
    repo: Any = Repo(str(root))
    values, hashes, entries = load_path(str(root / "params.yaml"), repo.fs), {}, {}
    stages = pipeline._stages(repo)
    read_of: dict[str, set[str]] = defaultdict(set)
    for path in {Path(dep.def_path) for stage in stages for dep in stage.deps}:
        for folder in path.parents:
            read_of[str(folder)].add(str(path.relative_to(folder)))
    with repo.lock:
        for stage in stages:
            for out in stage.outs:
                for name in sorted(read_of[out.def_path]) or ["" if "." in out.def_path else "a"]:
                    file = root / out.def_path / (name if not name or "." in name else f"{name}/a")
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_text(_CONTENTS.get(file.name, f"{stage.name} {file.name}"))
                out.save()
                out.commit()
            for dep in stage.deps:
                if isinstance(dep, ParamsDependency):
                    found = {name: deepcopy(value_at(values, name)) for name in dep.params}
                    dep.hash_info = HashInfo("params", found)  # pyright: ignore[reportArgumentType]
                else:
                    if dep.fs_path not in hashes:
                        hashes[dep.fs_path] = dep.get_hash()
                    dep.hash_info = hashes[dep.fs_path]
            _forget_staged_folders()
            entries |= to_lockfile(stage)
    write_whole(root / "dvc.lock", lockfile.with_entries("", entries) or "")
    return len(entries)


@contextlib.contextmanager
def server(root: Path, home: Path) -> Iterator[dict[str, str]]:
    """A Prefect server as prefect.toml sets it; the environment of its clients."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (root / "prefect.toml").write_bytes((ROOT / "prefect.toml").read_bytes())
    url = f"http://127.0.0.1:{port}/api"
    env = {**os.environ, "PREFECT_HOME": str(home), "PREFECT_API_URL": url}
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)]
    with (home / "server.log").open("w") as log:
        process = subprocess.Popen(command, cwd=root, env=env, stdout=log, stderr=log)
    try:
        for _ in range(300):
            with contextlib.suppress(httpx.HTTPError):
                httpx.get(f"{url}/health").raise_for_status()
                break
            time.sleep(1)
        yield env
    finally:
        process.terminate()
        process.wait(60)


def run_night(root: Path, catalog: Path, env: dict[str, str]) -> None:
    """The flow as a program."""
    command = [sys.executable, "-m", "flows.stylize_catalog", "--catalog", str(catalog)]
    subprocess.run(command, cwd=root, env=env, check=True)


def used_bytes(home: Path) -> int:
    """What Prefect's database holds, without pages that are free again."""
    with contextlib.closing(sqlite3.connect(f"file:{home}/prefect.db?mode=ro", uri=True)) as data:
        ask = lambda name: data.execute(f"PRAGMA {name}").fetchone()[0]  # noqa: E731
        return ask("page_size") * (ask("page_count") - ask("freelist_count"))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", nargs="+", default=["2x3", "100x10"], help="scenes x styles")
    parser.add_argument("--nights", type=int, default=3)
    args = parser.parse_args()
    num_threads = os.cpu_count() or 1
    origin = provenance(("prefect", "dvc"), num_threads=num_threads)
    lines: list[list[str]] = []
    with tempfile.TemporaryDirectory() as folder:
        for pair in args.pairs:
            num_scenes, num_styles = map(int, pair.split("x"))
            root, home = Path(folder) / pair, Path(folder) / f"{pair}-prefect"
            home.mkdir()
            toy = Toy.make(root)
            toy.add_overview()
            catalog = write_catalog(root, num_scenes, num_styles)
            check, write = taken_in(root, catalog)
            num_stages = lay_out_results(root)
            print(pair, num_stages, check, write, flush=True)
            with server(root, home) as env:
                night = partial(run_night, root, catalog, env)
                cost(night, 1)  # the first writes the page
                time.sleep(15)  # events reach the database after some seconds
                before = used_bytes(home)
                nights = cost(night, args.nights)
                time.sleep(15)
                grown = (used_bytes(home) - before) / args.nights
            assert toy.runs() == []
            cells = [f"{check:.1f} s", f"{write:.1f} s", str(nights), f"{grown / 1e3:.0f} kB"]
            lines.append([pair, str(num_scenes * num_styles), str(num_stages), *cells])
            print(*lines[-1], sep=", ", flush=True)
    head = ["scenes x styles", "rows", "stages", "check", "write params.yaml", "night", "database"]
    text = [
        "# Catalogs on toy stages",
        "",
        origin,
        "",
        "`check` reads and checks the catalog while params.yaml knows none of its rows, `write "
        "params.yaml` takes them in: processor seconds. `night`: the flow with nothing to do, a "
        f"process of its own against a running server, median of {args.nights}, wall clock and in "
        "brackets its processor seconds. `database`: by how much a night makes Prefect's grow.",
        "",
        table(head, lines),
    ]
    write_result("catalogs", "\n".join(text), num_threads=num_threads)


if __name__ == "__main__":
    main()
