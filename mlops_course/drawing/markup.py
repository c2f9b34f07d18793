"""HTML and SVG, element by element, escaped by default: the simulator writes tags nowhere else.

A plain string is text that may come from anywhere, and it is escaped; `Markup` came from here and
is kept. Shapes and icons are here, too, since they are the same wherever they are shown.
"""

from collections.abc import Mapping

from markupsafe import Markup, escape

_EMPTY = frozenset({"circle", "img", "line", "path", "rect"})
DOT = "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0"
TRIANGLE = "M0 6.5L-7 -5.5H7Z"
SQUARE = "M-4 -4H4V4H-4Z"


def element(name: str, /, *children: str, **attributes: str | float | None) -> Markup:
    """Return one element of HTML or SVG.

    Parameters
    ----------
    children
        What it holds: text, which is escaped, and markup, which is kept.
    attributes
        An underscore stands for a hyphen, a last one is dropped, and None leaves the attribute out.

    >>> print(element("p", element("b", "a < b"), " & c", class_="mls-quiet", data_key=None))
    <p class="mls-quiet"><b>a &lt; b</b> &amp; c</p>
    >>> print(element("line", x1=0, stroke_width=1.5))
    <line x1="0" stroke-width="1.5"/>
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_short(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _EMPTY and not children:
        return Markup(f"<{name}{given}/>")
    return Markup(f"<{name}{given}>{join(*children)}</{name}>")


def join(*parts: str) -> Markup:
    """Return parts side by side; what is plain text is escaped.

    >>> print(join("a < b", element("i")))
    a &lt; b<i></i>
    """
    return Markup("").join(parts)


def term(name: str, meaning: str, key: str) -> Markup:
    """Return a word that explains itself: under the pointer, and opened by click or key.

    Parameters
    ----------
    key
        What the page knows it by, so that it stays open when the picture is drawn anew.
    """
    return element(
        "details",
        element("summary", name, title=meaning),
        element("p", meaning),
        class_="mls-term",
        data_key=key,
    )


def stylesheet(rules: str) -> Markup:
    """Return a style element. The rules are a constant of ours: they are not escaped."""
    return element("style", Markup(rules))


def _short(value: str | float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


# ---- SVG


def text(
    words: str, x: float | str, y: float, class_: str | None = None, anchor: str | None = None
) -> Markup:
    """Return words at a place; ``anchor`` is ``middle`` or ``end``, and None begins there."""
    return element("text", words, class_=class_, x=x, y=y, text_anchor=anchor)


def at(x: float | str, y: float, *children: str) -> Markup:
    """Return a place whose children count from there; ``x`` may be a percentage."""
    return element("svg", *children, x=x, y=y, overflow="visible", width=1, height=1)


_ICONS: Mapping[str, Markup] = {
    "waiting": element("circle", cx=8, cy=8, r=5.5, class_="mls-hollow"),
    "running": join(
        element("circle", cx=8, cy=8, r=5.5, class_="mls-track"),
        element("path", d="M8 2.5A5.5 5.5 0 0 1 13.5 8", class_="mls-spin"),
    ),
    "paused": element("path", d="M5 2.5V13.5M11 2.5V13.5", class_="mls-bars-two"),
    "done": join(
        element("circle", cx=8, cy=8, r=7, class_="mls-solid"),
        element("path", d="M4.6 8.2L7 10.6L11.4 5.8", class_="mls-cut"),
    ),
    "failed": join(
        element("rect", x=1.5, y=1.5, width=13, height=13, rx=2, class_="mls-solid"),
        element("path", d="M5 5L11 11M11 5L5 11", class_="mls-cut"),
    ),
    "alert": join(
        element("path", d="M8 15L.8 2H15.2Z", class_="mls-solid"),
        element("path", d="M8 4.6V8.4M8 10.6V11.2", class_="mls-cut"),
    ),
    "refused": join(
        element("path", d="M8 .8L15.2 8L8 15.2L.8 8Z", class_="mls-solid"),
        element("path", d="M5 8H11", class_="mls-cut"),
    ),
}


def icon(state: str, **place: float) -> Markup:
    """Return the shape of a stage's state; its word stands beside it.

    Parameters
    ----------
    place
        ``x``, ``y``, ``width`` and ``height`` where no style sheet gives them.
    """
    shape = _ICONS[state]
    return element(
        "svg", shape, **place, class_="mls-icon", viewBox="0 0 16 16", aria_hidden="true"
    )
