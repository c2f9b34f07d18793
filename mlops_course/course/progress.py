"""A bar for work that takes a minute."""

from collections.abc import Callable


def bar(title: str) -> Callable[[int, int], None]:
    """Show an empty bar in a notebook, and return what fills it when told ``(done, of)``.

    It is shown whether there is work or not, so that a notebook's outputs do not depend on what was
    kept from an earlier run.

    >>> tell = bar("Training")  # doctest: +ELLIPSIS
    FloatProgress(...)
    >>> tell(1, 4)
    >>> tell(0, 0)
    """
    from IPython.display import display
    from ipywidgets import FloatProgress

    shown = FloatProgress(max=1.0, description=title, style={"description_width": "auto"})
    display(shown)

    def tell(done: int, of: int) -> None:
        shown.value = done / of if of else 1.0

    return tell
