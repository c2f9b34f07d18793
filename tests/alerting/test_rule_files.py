import pytest

from mlops_course.alerting.rule_files import read_rules
from mlops_course.core.errors import ParameterError

GOOD = """
[terms]
objective = 0.92
missed_minutes = 20

[[rule]]
name = "accuracy below the objective"
figure = "accuracy_at_most"
below = 0.92
severity = "page"
owner = "on call"
runbook = "Look."
needs_labels = true

[[rule]]
name = "slow"
figure = "slow_ms"
above = 50
clear = 40
window = "1 day"
for_windows = 2
owner = "platform"
runbook = "Look at the host."
"""


@pytest.fixture
def write(tmp_path):
    def written(text):
        path = tmp_path / "rules.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return written


def test_file_when_it_is_good_then_gives_its_rules_and_terms(write):
    found = read_rules(write(GOOD))
    assert [rule.name for rule in found.rules] == ["accuracy below the objective", "slow"]
    slow = found.rules[1]
    assert (slow.above, slow.clear, slow.for_windows, slow.severity) == (50.0, 40.0, 2, "ticket")
    assert (found.terms.objective, found.terms.missed_minutes) == (0.92, 20)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            "above = 50",
            "abvoe = 50",
            "Line 15, slow: There is no field 'abvoe'; do you mean above?",
        ),
        (
            'figure = "slow_ms"',
            'figure = "slow"',
            "There is no figure 'slow'; do you mean slow_ms?",
        ),
        ("above = 50", 'above = "50"', "above is '50'; it is a number"),
        ("for_windows = 2", "for_windows = 2.0", "for_windows is 2.0; it is a whole number"),
        ('window = "1 day"', "window = 1", "window is 1; it is a text"),
        ("needs_labels = true", 'needs_labels = "yes"', "it is true or false"),
        ("needs_labels = true", "", "Line 6, accuracy below the objective: Set needs_labels"),
        ('name = "slow"', "", "Line 15, without a name: It has no name"),
        ('name = "slow"', 'name = "accuracy below the objective"', "Two rules are called"),
        ("below = 0.92", "below = 0.0", "It can never fire"),
        ("objective = 0.92", "objective = 92", "[terms]: The terms are 92"),
        ("objective = 0.92", "goal = 0.92", "[terms] has no 'goal'; it has objective"),
        ("objective = 0.92", "objective = ", "line 3"),
        ("[terms]", "[term]", "There is no table 'term'"),
        ("[[rule]]", "[rule]", "rule"),
    ],
)
def test_file_when_there_is_a_slip_then_file_line_and_slip_are_named(write, before, after, said):
    path = write(GOOD.replace(before, after))
    with pytest.raises(ParameterError) as caught:
        read_rules(path)
    assert str(path) in str(caught.value) and said in str(caught.value)


def test_file_when_it_has_many_faults_then_some_are_told_and_the_rest_counted(write):
    rule = '[[rule]]\nname = "{}"\nfigure = "nothing"\n'
    with pytest.raises(ParameterError, match=r"And 3 more\."):
        read_rules(write("\n".join(rule.format(number) for number in range(8))))


@pytest.mark.parametrize("content", ["", "[terms]\nobjective = 0.9\n", "rule = 3", "rule = [1]"])
def test_file_when_it_holds_no_rule_then_says_so(write, content):
    with pytest.raises(ParameterError, match="It holds no rule"):
        read_rules(write(content))


def test_file_when_it_cannot_be_read_then_says_so(tmp_path):
    (tmp_path / "odd.toml").write_bytes(b"\xff\xfe")
    for path in (tmp_path / "none.toml", tmp_path, tmp_path / "odd.toml"):
        with pytest.raises(ParameterError, match="cannot be read"):
            read_rules(path)
