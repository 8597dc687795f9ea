"""The thin shell round every stage: command line, parameters, errors, whole-or-nothing output.

A stage module is its `run` and a few lines more:

    def run(poses: Path, out: Path, params: TrainNerf, *, work: Path) -> dict[str, object]:
        ...

    def main() -> None:
        stage_main(run)

    if __name__ == "__main__":
        main()

The signature of `run` is the command line; its parameters go by name:

| parameter | command line | what `run` gets |
|---|---|---|
| `params` | `--scene ID`, of an edit `--style ID` | its block of params.yaml, by the annotation |
| `out` | `--out PATH` | an empty folder, renamed to PATH when `run` returns |
| `work` | | if wanted: folder for checkpoints, the same again after a kill, removed on success |
| `caption` | | the scene's caption |
| `style` | | the `Style` |
| any other | `--PARAMETER PATH` | an existing input folder |

`run` returns its headline figures, which go to the log; beside its files lies `provenance.json`.
params.yaml is read from the current folder.
"""

import _thread
import argparse
import hashlib
import inspect
import logging
import shutil
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import scenestyle
from engine.gpu import GPU_STAGES, gpus, one_gpu
from engine.jobs import note_job
from engine.process import MAY_PASS, die_with_parent
from engine.provenance import FILE, provenance
from engine.troubles import PassingError, told
from scenestyle.artifacts import write_json
from scenestyle.device import keep_freed_memory, let_idle_threads_sleep
from scenestyle.errors import InputError, ScenestyleError
from scenestyle.files import locked, whole_folder
from scenestyle.params import EDIT_STAGES, Params, load_params, stage_params
from scenestyle.project.layout import Layout, instance_of

_PAGES = "report.html", "index.html"
"""what a person opens, where a stage makes a page"""

Run = Callable[..., dict[str, object]]

_LAYOUT = Layout()
_SECONDS_BETWEEN_LOOKS = 2.0
_OUTDATED = signal.SIGUSR1
"""never sent, only simulated; not SIGINT, which shells have what runs in the background ignore"""
_NOT_INPUTS = {"params", "out", "work", "caption", "style"}


class InputsChangedError(PassingError):
    """Inputs, parameters or code were edited while the stage ran: its result would fit neither."""


class BusyError(PassingError):
    """The same stage is already running on the same inputs."""


@dataclass(frozen=True)
class Job:
    """One call of a stage program, parsed and checked."""

    stage: str
    """name of the stage and of its block in params.yaml"""
    inputs: Mapping[str, Path]
    """existing input folders by parameter name"""
    out: Path
    """where the result will lie"""
    scene: str
    """id of the scene"""
    style: str | None
    """id of the style; none for a stage of a scene"""

    @property
    def instance(self) -> str:
        """Its name in dvc.yaml, such as `train_nerf@fern`."""
        return f"{self.stage}@{self.scene}{f'-{self.style}' if self.style else ''}"


def stage_main(run: Run, argv: Sequence[str] | None = None) -> None:
    """Run a stage as a program.

    An error of the user's making ends it with one sentence and exit code 1, one that may pass by
    itself with `MAY_PASS`.
    """
    die_with_parent(signal.SIGKILL)
    let_idle_threads_sleep()
    keep_freed_memory()
    warnings.simplefilter("ignore", FutureWarning)  # of pinned libraries among themselves
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s", stream=sys.stderr)

    def program() -> None:
        job = parse(run, argv)
        with one_gpu(gpus() if job.stage in GPU_STAGES else []):
            figures = perform(run, job)
        logging.getLogger(job.stage).info("%s", conclusion(job.out, figures))

    interrupted = "interrupted; the next run goes on from the last checkpoint"
    if code := told(program, interrupted=interrupted, passing=MAY_PASS):
        raise SystemExit(code)


def conclusion(out: Path, figures: Mapping[str, object]) -> str:
    """The last line of a stage: its headline figures, and where to look; lists are in its files."""
    shown = [
        f"{name.replace('_', ' ')} {_rounded(value)}"
        for name, value in figures.items()
        if not isinstance(value, Mapping | list | tuple)
    ]
    page = next((out / name for name in _PAGES if (out / name).exists()), None)
    return ", ".join([*shown, f"written to {out}" if page is None else f"open {page}"])


def _rounded(value: object) -> object:
    return f"{value:.4g}" if isinstance(value, float) else value


def parse(run: Run, argv: Sequence[str] | None = None) -> Job:
    """Read the command line that the signature of `run` describes.

    Raises:
        InputError: If an input folder is missing; names the command that makes it.
    """
    parameters = inspect.signature(run).parameters
    stage = stage_name(parameters["params"].annotation)
    inputs = [name for name in parameters if name not in _NOT_INPUTS]
    parser = argparse.ArgumentParser(prog=f"python -m tasks.{stage}", description=run.__doc__)
    for name in ["scene", "style"] if stage in EDIT_STAGES else ["scene"]:
        parser.add_argument(f"--{name}", required=True, help="id in params.yaml")
    for name in [*inputs, "out"]:
        parser.add_argument(f"--{name}", required=True, type=Path, help="folder")
    options = vars(parser.parse_args(argv))
    for name in inputs:
        _check_input(name, options[name])
    return Job(
        stage=stage,
        inputs={name: options[name] for name in inputs},
        out=options["out"],
        scene=options["scene"],
        style=options.get("style"),
    )


def stage_name(block: type) -> str:
    """The stage whose parameter block is of class `block`, such as `train_nerf` for `TrainNerf`."""
    return next(field.name for field in fields(Params) if field.type is block)


def perform(run: Run, job: Job) -> dict[str, object]:
    """Call `run` and put its result at `job.out`; until then nothing changes there.

    Returns:
        The headline figures of `run`.

    Raises:
        ParamsError: If params.yaml has faults or does not know the scene, style or edit.
        InputsChangedError: If inputs, parameters or code changed meanwhile; the result is dropped.
            Changed parameters end `run` within seconds, the rest is looked at when it is done.
        BusyError: If another process is at the same work.
    """
    wanted = inspect.signature(run).parameters
    settings, contents, code = _settings(job, wanted), _contents(job), _sources()
    work = _LAYOUT.work / job.stage / _digest([settings, contents, code])
    with _claimed(work):
        note_job(work, job.instance)
        with whole_folder(job.out) as partial:
            scratch = {"work": work} if "work" in wanted else {}
            with _until_outdated(job, settings):
                figures = run(**job.inputs, **settings, **scratch, out=partial)
            _check_unchanged(job, settings, contents, code)
            write_json(partial / FILE, provenance(settings))
        shutil.rmtree(work)
    return figures


def _check_input(name: str, folder: Path) -> None:
    if folder.is_dir():
        return
    if instance := instance_of(folder):
        way_out = f"dvc repro {instance}"
    else:
        way_out = f"scenestyle add-scene {folder.name} PHOTOS --caption '...'"
    raise InputError(f"--{name}: there is no folder {folder}. Make it: {way_out}")


def _settings(job: Job, wanted: Container[str]) -> dict[str, object]:
    """Of what params.yaml says about the scene and style, that which `run` wants to know."""
    params = load_params(_LAYOUT.params)
    settings: dict[str, object] = {
        "params": stage_params(params, job.stage, job.scene, job.style),
        "caption": params.scenes[job.scene].caption,
        "style": params.styles[job.style] if job.style else None,
    }
    return {name: value for name, value in settings.items() if name in wanted}


def _contents(job: Job) -> dict[Path, str]:
    return _file_digests(path for folder in job.inputs.values() for path in folder.rglob("*"))


def _sources() -> dict[Path, str]:
    """The code that DVC can know a stage by: the programs and the library."""
    library = Path(scenestyle.__file__).parent
    programs = (library.parent / "tasks").glob("*.py")
    return _file_digests([*programs, *library.rglob("*.py")])


def _check_unchanged(
    job: Job, settings: dict[str, object], contents: dict[Path, str], code: dict[Path, str]
) -> None:
    """DVC records inputs after a run: an edit during it would be stored as this result's cause."""
    changed = [
        *([_LAYOUT.params] if _settings(job, settings) != settings else []),
        *_differences(contents, _contents(job)),
        *(path for path in _differences(code, _sources()) if _is_loaded(path)),
    ]
    if changed:
        raise _changed(job, changed[0])


def _changed(job: Job, path: Path) -> InputsChangedError:
    return InputsChangedError(
        f"{path} was changed while {job.stage} ran, so the result was dropped. Run it again."
    )


@contextmanager
def _until_outdated(job: Job, settings: dict[str, object]) -> Iterator[None]:
    """End the block, as Ctrl-C would, when params.yaml asks for something else.

    Otherwise a training of hours would run to its end for a result that is then dropped. What it
    has saved in its work folder stays for the case that the parameters change back.
    """
    over, outdated = threading.Event(), threading.Event()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    def watch() -> None:
        looked_at = last = _stamp(_LAYOUT.params)
        while not over.wait(_SECONDS_BETWEEN_LOOKS):
            before, last = last, _stamp(_LAYOUT.params)
            if looked_at == last or before != last:  # the same, or somebody is writing
                continue
            looked_at = last
            if _asks_for_else(job, settings):
                outdated.set()
                _thread.interrupt_main(_OUTDATED)
                return

    watcher = threading.Thread(target=watch, daemon=True)
    handled_before = signal.signal(_OUTDATED, stop)
    watcher.start()
    try:
        try:
            yield
        finally:
            over.set()
            watcher.join()
            signal.signal(_OUTDATED, handled_before)
    except KeyboardInterrupt:
        if not outdated.is_set():
            raise
        raise _changed(job, _LAYOUT.params) from None


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


def _asks_for_else(job: Job, settings: dict[str, object]) -> bool:
    """Whether params.yaml has other values for a running stage; not while it has faults."""
    try:
        return _settings(job, settings) != settings
    except (ScenestyleError, OSError):
        return False
    except KeyError:  # the scene or style is not asked for any more
        return True


def _differences(before: dict[Path, str], after: dict[Path, str]) -> list[Path]:
    return sorted(
        path for path in before.keys() | after.keys() if before.get(path) != after.get(path)
    )


def _is_loaded(path: Path) -> bool:
    return str(path) in {getattr(module, "__file__", None) for module in list(sys.modules.values())}


def _file_digests(paths: Iterable[Path]) -> dict[Path, str]:
    return {path: _file_digest(path) for path in sorted(paths) if path.is_file()}


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


def _digest(value: object) -> str:
    return hashlib.blake2b(repr(value).encode(), digest_size=16).hexdigest()


@contextmanager
def _claimed(work: Path) -> Iterator[None]:
    """Keep `work` to this process."""
    work.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        try:
            held.enter_context(locked(work, wait=False))
        except BlockingIOError as error:
            raise BusyError(
                f"another process is at the same work ({work}). Wait for it, or end it and run "
                "again."
            ) from error
        yield
