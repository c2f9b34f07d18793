"""The choices that were not taken, played for real: the same seed and settings, another answer.

They run in a workspace of their own, which is deleted afterwards, and on a service of their own:
the run that somebody looks at, its versions and its service stay as they are.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from mlops_course.core.errors import CourseError, ParameterError
from mlops_course.core.workspace import Workspace, open_workspace
from mlops_course.deciding.choices import CHOICES, Choices
from mlops_course.picture.hindsight import aftermath, decisive
from mlops_course.pipeline.asking import OtherPlayed
from mlops_course.pipeline.scenarios import RunConfig
from mlops_course.pipeline.state import RunState, choices_of, fold
from mlops_course.serving.service import Service


def check_finished(state: RunState) -> None:
    """Raise a `ParameterError` unless a run has ended in which something was chosen."""
    if state.status != "finished" or not choices_of(state):
        raise ParameterError(
            "There is no choice to set others beside.",
            "A run has ended in which somebody chose at an alert.",
            "Tick Ask me at an alert, run, and answer; or give retrain='ask' and a policy.",
        )


def play_others(
    config: RunConfig, state: RunState, workspace: Workspace | str | Path | None
) -> Iterator[OtherPlayed]:
    """Play each choice that a run did not take at its decisive question, and yield what came of it.

    Answers before that question are the run's own; later questions are answered with *look closer*.
    What was played already is left out.

    Parameters
    ----------
    workspace
        Whose cache of flights to use.

    Raises
    ------
    CourseError
        If one of the runs stops.
    """
    from mlops_course.pipeline.loop import run_pipeline

    chosen = choices_of(state)
    place = decisive(chosen)
    before = [entry.choice for entry in chosen[:place]]
    question = chosen[place]
    done = {question.choice, *(other.choice for other in state.others)}
    home = workspace if isinstance(workspace, Workspace) else open_workspace(workspace)
    from mlops_course.training.aside import pointed_at

    with TemporaryDirectory(prefix="mlops-course-others-") as folder, closing(Service()) as service:
        scratch = open_workspace(Path(folder) / "workspace", cache=home.cache)
        for name in CHOICES:
            if name in done:
                continue
            policy = Choices(*before, name)
            with (
                pointed_at(scratch),
                closing(run_pipeline(config, scratch, service, policy)) as events,
            ):
                played = fold(events)
            if played.error:
                raise CourseError("Another choice could not be played.", played.error, "Try again.")
            yield OtherPlayed(question.week, name, aftermath(played, question.week))
