"""The form in which every test of data, models and releases says what it found.

A check is one thing that was looked at; a verdict is all the checks of one subject. Nothing
here knows what is checked.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One thing that was checked: whether it held, and a sentence with what was seen."""

    name: str
    passed: bool
    seen: str


@dataclass(frozen=True)
class Verdict:
    """All the checks of one subject; it passes when every check does.

    >>> hot, full = Check("hot", True, "80 degrees."), Check("full", False, "Empty.")
    >>> verdict = Verdict("tea", (hot, full))
    >>> verdict.passed, verdict.failures
    (False, ('Empty.',))
    """

    subject: str
    checks: tuple[Check, ...]

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
    lines = [f"## {title}", "", "| check | result | seen |", "|---|---|---|"]
    for check in verdict.checks:
        seen = check.seen.replace("|", "\\|")
        lines.append(f"| {check.name} | {'pass' if check.passed else '**FAIL**'} | {seen} |")
    return "\n".join([*lines, ""])
