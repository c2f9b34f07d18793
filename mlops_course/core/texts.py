"""Text from elsewhere, made safe for where it goes: a line of a terminal, a sentence, Markdown.

What others wrote into the store, a file or a command may hold anything. For HTML there is
`drawing.markup`, which escapes by default.
"""

import re

MAX_LETTERS = 200
# What ends a cell, begins markup or a link; a bare address becomes a link by itself.
_MARKDOWN = re.compile(r"[\\`|\[\]*~]|(?<=:)//|(?<=www)\.", re.IGNORECASE)
_HOST = re.compile(r"(?:(?P<name>[\w.-]+)|\[(?P<address>[\da-f:.]+)\])(?::\d{1,5})?", re.A | re.I)


def one_line(text: str) -> str:
    r"""Return a text as one line without characters that a terminal would act on.

    >>> one_line("late\n  flights \x1b[2J")
    'late flights ?[2J'
    """
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


def short(text: object, letters: int = MAX_LETTERS) -> str:
    r"""Return what a sentence quotes of a text: one line of at most so many letters.

    >>> short("version\n 3"), short("9" * 30, letters=8)
    ('version 3', '99999...')
    """
    line = one_line(str(text)[: 10 * letters])
    return line if len(line) <= letters else f"{line[: letters - 3]}..."


def in_markdown(text: str) -> str:
    r"""Return a text for a line or a cell of Markdown, where it is read as it was written.

    >>> print(in_markdown("5 | 6\n<b>dep_delay > 15</b> [see](https://a.example)"))
    5 \| 6 &lt;b>dep_delay > 15&lt;/b> \[see\](https:\/\/a.example)
    """
    plain = one_line(text).replace("&", "&amp;").replace("<", "&lt;")
    return _MARKDOWN.sub(lambda found: "".join(f"\\{letter}" for letter in found[0]), plain)


def host_in(text: str) -> str | None:
    """Return the name in ``name:port``, in small letters; None if it is no such thing.

    >>> host_in("Hub.example:443"), host_in("[::1]:80"), host_in("localhost#.evil.example")
    ('hub.example', '::1', None)
    """
    found = _HOST.fullmatch(text)
    return (found["name"] or found["address"]).lower() if found else None
