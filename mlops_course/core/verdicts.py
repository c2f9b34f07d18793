"""The form in which every test of data, models and releases says what it found.

A check is one thing that was looked at; a verdict is all the checks of one subject. Nothing
here knows what is checked.
"""

from dataclasses import dataclass

from mlops_course.core.texts import in_markdown


@dataclass(frozen=True)
class Check:
    """One thing that was checked: whether it held, and a sentence with what was seen."""

    name: str
    passed: bool
    seen: str


@dataclass(frozen=True)
class Verdict:
    """All the checks of one subject; it passes when every check does.

    ``rival`` is the version that was in charge then, with which the subject had to compete; empty
    if there was none, None if the verdict does not say. ``exam`` is the fingerprint of the rows
    that it was judged on, for which alone the verdict speaks; None if the verdict does not say.

    >>> hot, full = Check("hot", True, "80 degrees."), Check("full", False, "Empty.")
    >>> verdict = Verdict("tea", (hot, full))
    >>> verdict.passed, verdict.failures
    (False, ('Empty.',))
    """

    subject: str
    checks: tuple[Check, ...]
    rival: str | None = None
    exam: str | None = None

    @property
    def passed(self) -> bool:
        """Whether every check held."""
        return all(check.passed for check in self.checks)

    @property
    def failures(self) -> tuple[str, ...]:
        """The sentences of the checks that did not hold."""
        return tuple(check.seen for check in self.checks if not check.passed)


def as_markdown(verdict: Verdict, title: str) -> str:
    r"""Return a verdict as Markdown under a title, for a pull request or a job's summary.

    >>> print(as_markdown(Verdict("tea", (Check("hot", False, "5 | 6 degrees."),)), "Tea"))
    ## Tea
    <BLANKLINE>
    | check | result | seen |
    |---|---|---|
    | hot | **FAIL** | 5 \| 6 degrees. |
    <BLANKLINE>
    """
    lines = [f"## {in_markdown(title)}", "", "| check | result | seen |", "|---|---|---|"]
    for check in verdict.checks:
        result = "pass" if check.passed else "**FAIL**"
        lines.append(f"| {in_markdown(check.name)} | {result} | {in_markdown(check.seen)} |")
    return "\n".join([*lines, ""])
