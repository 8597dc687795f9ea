"""The proofs that take minutes, one after another: power cut, kills, two clones, S3, webhook.

    nice python -m benchmarks.proofs          # writes benchmarks/results/proofs_*.md

Each is a test of the slow tier or near to it; here they leave a record of when they last held, and
how long they took.
"""

import argparse
import os
import subprocess
import sys
import time

from benchmarks.machine import ROOT, provenance, table, write_result

PROOFS = {
    "power cut: server, worker and flow die at night; one run makes up for all that were missed": (
        "tests/flows/test_nights.py::"
        "test_after_a_power_cut_at_night_one_run_makes_up_for_all_that_were_missed"
    ),
    "worker and server killed: the next run repeats only what was unfinished": (
        "tests/flows/test_deployment.py::"
        "test_after_kills_of_worker_and_server_the_next_run_repeats_only_what_was_unfinished"
    ),
    "the README's commands, a schedule, and a webhook that gets the sentences of failed rows": (
        "tests/flows/test_deployment.py::test_the_commands_of_the_readme_deploy_run_and_schedule"
    ),
    "a second clone by git and DVC goes on, photos and all": (
        "tests/engine/test_share.py::test_a_clone_by_git_goes_on_where_the_first_one_was"
    ),
    "a stage runs in another clone, results by a folder and by S3 (moto's server)": (
        "tests/engine/test_share.py::test_a_stage_runs_in_another_clone_and_its_result_comes_back"
    ),
    "a catalog on two clones with two Dask workers": (
        "tests/engine/test_share.py::test_a_catalog_runs_on_two_clones_with_two_dask_workers"
    ),
    "captures are fetched from S3 (moto's server)": "tests/unit/project/test_remote.py",
}
"""what is proved -> test"""


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="those whose text holds this word")
    args = parser.parse_args()
    num_threads = os.cpu_count() or 1
    origin = provenance(("prefect", "dvc", "moto"), num_threads=num_threads)
    rows = []
    for what, test in PROOFS.items():
        if args.only not in what:
            continue
        start = time.monotonic()
        command = [sys.executable, "-m", "pytest", "-q", "-m", "", "--timeout", "3600", test]
        done = subprocess.run(command, cwd=ROOT, check=False)
        took = time.monotonic() - start
        rows.append([what, "holds" if done.returncode == 0 else "FAILS", f"{took:.0f} s"])
        print(rows[-1], flush=True)
    text = ["# Proofs that take minutes", "", origin, "", table(["proof", "", "wall clock"], rows)]
    write_result("proofs", "\n".join(text), num_threads=num_threads)


if __name__ == "__main__":
    main()
