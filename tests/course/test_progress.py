from mlops_course.course.progress import bar


def shown_by(monkeypatch, tell_all):
    """Return the widget that a bar has displayed, after it was told what is done."""
    displayed = []
    monkeypatch.setattr("IPython.display.display", displayed.append)
    tell = bar("Training")
    for done, of in tell_all:
        tell(done, of)
    (widget,) = displayed
    return widget


def test_bar_when_a_quarter_is_done_then_is_filled_to_a_quarter(monkeypatch):
    assert shown_by(monkeypatch, [(0, 8), (2, 8)]).value == 0.25


def test_bar_when_there_is_nothing_to_do_then_is_shown_full(monkeypatch):
    assert shown_by(monkeypatch, [(0, 0)]).value == 1.0
