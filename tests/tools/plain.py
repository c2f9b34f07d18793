"""A place like a learner's at work: the course's package cannot be imported there."""

import os
import re
from pathlib import Path

REFUSAL = 'raise ImportError("This place has no mlops_course.")\n'


def plain_environment(place: Path, **more: str) -> dict[str, str]:
    """Return the environment of a program that must do without the course's package.

    Parameters
    ----------
    place
        A folder of its own; it gets a module that stands before the real package.
    more
        Further variables.
    """
    place.mkdir(parents=True, exist_ok=True)
    (place / "mlops_course.py").write_text(REFUSAL, encoding="utf-8")
    ours = re.compile("MLOPS_COURSE|^MLFLOW_")  # a test before may have pointed MLflow elsewhere
    kept = {name: value for name, value in os.environ.items() if not ours.search(name)}
    quiet = {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    return {**kept, **quiet, "PYTHONPATH": str(place), **more}
