"""How requests are shared between champion and challenger, before one replaces the other.

In *shadow* the challenger sees every request and answers none. In *canary* it answers a share of
them, chosen by the request's id: the same id always goes the same way, and whoever is in the
canary at 5% still is at 25%.
"""

import hashlib
from dataclasses import dataclass

from mlops_course.core.errors import ParameterError

CHAMPION = "champion"
CHALLENGER = "challenger"
SHADOW = "shadow"
REFUSED = "refused"  # a request that no model was asked about
MODES = ("off", SHADOW, "canary")


@dataclass(frozen=True)
class Split:
    """A way to share requests: a mode, and the challenger's share in a canary, 0 to 1."""

    mode: str = "off"
    share: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a mode or a share that cannot be."""
        known = isinstance(self.share, int | float) and 0 <= self.share <= 1
        if self.mode not in MODES or not known:
            raise ParameterError(
                f"Requests cannot be split by mode {self.mode!r} and share {self.share!r}.",
                f"The modes are {', '.join(MODES)}; a share goes from 0 to 1.",
                "Write for instance Split('canary', 0.1).",
            )


def role_of(request_id: str, split: Split) -> str:
    """Return which of the two answers a request.

    >>> [role_of(f"r-{number}", Split("canary", 0.5)) for number in range(1, 4)]
    ['champion', 'challenger', 'champion']
    """
    if split.mode != "canary":
        return CHAMPION
    digest = hashlib.sha256(request_id.encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    return CHALLENGER if place < split.share else CHAMPION
