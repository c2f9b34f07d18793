"""The one family of errors that this package raises on purpose.

Each says what happened, what was expected and what to do next, so that a learner
can act on it without reading a traceback.
"""


class CourseError(Exception):
    """Report a foreseeable problem in three parts.

    Parameters
    ----------
    happened, expected, remedy
        Plain sentences: what went wrong, what was expected, what to do next.
    """

    def __init__(self, happened: str, expected: str, remedy: str) -> None:
        super().__init__(happened, expected, remedy)
        self.happened = happened
        self.expected = expected
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.happened} {self.expected} {self.remedy}"

    def _render_traceback_(self) -> list[str]:
        """Let IPython show the three sentences instead of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class ParameterError(CourseError, ValueError):
    """A value handed in by the caller is outside what the function accepts."""


class WorkspaceError(CourseError):
    """The workspace cannot be used: locked, damaged, deleted, full or read-only."""


class DataError(CourseError):
    """Flight data is missing, or is not what the model was promised."""


class ModelError(CourseError):
    """A model's files are missing, or are no model."""


class ServiceError(CourseError):
    """The scoring service did not start, died, or refused a request."""


class RegistryError(CourseError):
    """The model registry does not hold what was asked for."""


class Refusal(RegistryError):
    """The registry was asked for something that its rules forbid; nothing has moved."""
