from pathlib import Path

from cli.watch import watch_lines
from engine.jobs import note_job, running_jobs
from scenestyle.files import locked


def test_a_job_runs_as_long_as_its_folder_is_locked(tmp_path: Path) -> None:
    work = tmp_path / "train_nerf" / "digest"
    work.mkdir(parents=True)
    note_job(work, "train_nerf@fern")

    assert running_jobs(tmp_path) == []
    with locked(work):
        (job,) = running_jobs(tmp_path)
    assert (job.instance, job.strip) == ("train_nerf@fern", None)


def test_what_runs_is_told_with_its_image_and_usual_time(tmp_path: Path) -> None:
    work = tmp_path / "train_nerf" / "digest"
    work.mkdir(parents=True)
    note_job(work, "train_nerf@fern")
    (work / "progress.png").touch()
    with locked(work):
        jobs = running_jobs(tmp_path)

    lines = watch_lines(jobs, {"train_nerf@demo": 90.0}, now=jobs[0].started + 30)

    assert lines[0] == "train_nerf@fern: for 30 s, usually 90 s"
    assert str(work / "progress.png") in lines[1]
    assert "end is unknown" in watch_lines(jobs, {}, now=jobs[0].started)[0]
    assert "Nothing runs" in watch_lines([], {}, now=0.0)[0]
