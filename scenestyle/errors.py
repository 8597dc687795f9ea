"""The exception tree: every error a user can cause or cure is a `ScenestyleError`.

A message says what happened, what was found, what was wanted, and the way out, in that order.
"""


class ScenestyleError(Exception):
    """Base of all errors that end a command with one clear message instead of a traceback."""


class ParamsError(ScenestyleError):
    """One or more faults in `params.yaml`, all listed in one message."""


class CatalogError(ScenestyleError):
    """One or more faults in a catalog file, all listed in one message."""


class InputError(ScenestyleError):
    """A scene's photos or poses cannot be used (missing, empty, corrupt, not overlapping)."""


class ArtifactError(ScenestyleError):
    """A folder between two stages is missing files or does not fit its contract."""


class GateError(ScenestyleError):
    """A stage ran, but its result is below the quality the parameters ask for."""


class WeightsError(ScenestyleError):
    """Model weights are neither on disk nor reachable, or are not the pinned ones."""


class ShapeError(ScenestyleError, ValueError):
    """Tensors of shapes that do not belong together were handed to a numeric function."""


def reason(error: BaseException) -> str:
    """What an error of a library says, in one line without Python's names."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, KeyError):
        return f"there is no {error.args[0]!r}" if error.args else "something is missing"
    if isinstance(error, TypeError | AttributeError):
        return "a value has another form than wanted"
    return " ".join(str(error).split()) or "no reason was given"
