"""Weights on disk: the embedded ones, verified, and pinned hub repositories, downloaded once."""

import hashlib
import logging
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scenestyle.diffusion.presets import HubRepository
from scenestyle.errors import WeightsError

logger = logging.getLogger(__name__)

EMBEDDED_FOLDER = Path(__file__).parents[1] / "embedded" / "weights"
"""Diffusers folder of the tiny model that comes with the library, with its SHA256SUMS."""

_HUB_ID = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})")
_CHECKSUMS = "SHA256SUMS"
_SMALL_FILES = ("*.json", "*.txt")


def verified(folder: Path) -> str:
    """Check every file against the folder's SHA256SUMS (the format of `sha256sum`).

    Returns:
        The checksum of SHA256SUMS itself, which thus names the whole content.

    Raises:
        WeightsError: If the list or a file is missing, or a file is not the one listed.
    """
    checksums = folder / _CHECKSUMS
    if not checksums.is_file():
        raise WeightsError(
            f"The embedded model's weights are missing: looked for {checksums}. Restore them with "
            f"`git checkout -- {folder}` or reinstall scenestyle."
        )
    for line in checksums.read_text(encoding="utf-8").splitlines():
        wanted, name = line.split(maxsplit=1)
        path = folder / name.removeprefix("*")
        found = file_sha256(path) if path.is_file() else "no file"
        if found != wanted:
            raise WeightsError(
                f"{path} is damaged: wanted SHA-256 {wanted}, found {found}. Restore it with "
                f"`git checkout -- {folder}` or reinstall scenestyle."
            )
    return file_sha256(checksums)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_fault(path: Path, sha256: str, key: str = "sha256") -> str | None:
    """Why a file that the parameters name is not to be loaded, with the way out; None: it is.

    Args:
        path: As the user wrote it.
        sha256: What the file's checksum must be.
        key: Of params.yaml, where that stands.
    """
    if path.suffix != ".safetensors":
        return (
            f"{path}: other formats than .safetensors can run code when they are opened; take the "
            "author's safetensors, or convert it: torch.load(FILE, weights_only=True), then "
            "safetensors.torch.save_file"
        )
    if not path.is_file():
        return f"{path}: there is no such file"
    if (found := file_sha256(path)) != sha256:
        return (
            f"{path}: its SHA-256 is {found}, params.yaml says {sha256}; if the file is the one "
            f"that is meant, write {key}: {found}"
        )
    return None


@contextmanager
def warnings_hidden() -> Iterator[None]:
    """Within the block diffusers logs errors alone, for calls whose warnings do not hold here."""
    from diffusers.utils import logging as theirs

    verbosity = theirs.get_verbosity()
    theirs.set_verbosity_error()
    try:
        yield
    finally:
        theirs.set_verbosity(verbosity)


def named_folder(
    name: str, weight_files: Sequence[str], *, exclude: Sequence[str] = (), instead: str
) -> Path | None:
    """Folder of weights given by path, or as a hub repository `organisation/name@COMMIT`.

    Args:
        name: What the user wrote.
        weight_files: As of `hub_snapshot`.
        exclude: As of `hub_snapshot`.
        instead: As of `hub_snapshot`.

    Returns:
        The folder; None if `name` is neither.

    Raises:
        WeightsError: As `hub_snapshot`.
    """
    if hub_id := _HUB_ID.fullmatch(name):
        repository = HubRepository(hub_id["name"], hub_id["revision"])
        return hub_snapshot(repository, weight_files, exclude=exclude, instead=instead)
    return Path(name) if Path(name).is_dir() else None


def hub_snapshot(
    repository: HubRepository,
    weight_files: Sequence[str],
    *,
    exclude: Sequence[str] = (),
    instead: str = "set stylize_views.model: embedded",
) -> Path:
    """Local folder of a pinned hub repository; what is not in the hub's cache yet is downloaded.

    Args:
        repository: What to look for, at its pinned commit.
        weight_files: Patterns of the weight files wanted (safetensors); small files come with them.
        exclude: Patterns of files not wanted all the same.
        instead: What a user without the hub can do, for the message.

    Raises:
        WeightsError: If files are neither cached nor to be had from the hub.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HTTPError

    patterns = [*_SMALL_FILES, *weight_files]
    logger.info("weights %s: looking in %s, else downloading", repository, constants.HF_HUB_CACHE)
    try:
        return Path(
            snapshot_download(
                repository.name,
                revision=repository.revision,
                allow_patterns=patterns,
                ignore_patterns=list(exclude),
            )
        )
    except (OSError, HTTPError) as error:
        command = ["hf", "download", repository.name, "--revision", repository.revision]
        command += [part for pattern in patterns for part in ("--include", pattern)]
        command += [part for pattern in exclude for part in ("--exclude", pattern)]
        raise WeightsError(
            f"The weights of {repository.name} at revision {repository.revision} are not in "
            f"{constants.HF_HUB_CACHE} and could not be downloaded ({_first_line(error)}). With "
            f"access to the hub run `{shlex.join(command)}`; without it {instead}."
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
