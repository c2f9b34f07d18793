"""A Dockerfile's steps, followed without an engine: in a folder, with the packages that are here.

What an engine would do and a test cannot is replaced by a check: an installation by a look at what
is installed, a user by whoever runs the test. Where that is root, commands run under the user's
number, unless root alone can reach this Python. An instruction that is not known is an error, so
that no step is passed over.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement

SAID = "said.txt"
ROOT_USERS = ("", "root", "0")
# Imported by every Python in the image: what the lock does not hold is not there.
CUSTOM = """
import sys
from importlib.abc import MetaPathFinder

ABSENT = frozenset({absent!r})

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in ABSENT:
            raise ModuleNotFoundError(f"No module named {{name!r}} in this image", name=name)

sys.meta_path.insert(0, Absent())
"""


@dataclass
class Image:
    """What the steps have made.

    Attributes
    ----------
    place
        The folder that stands for the image's root.
    folder
        Where the next step works.
    users
        The numbers of the users that were added, by name.
    installed
        The pins of the lock that was installed, by name.
    """

    place: Path
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    users: dict[str, int] = field(default_factory=dict)
    user: str = ""
    installed: dict[str, str] = field(default_factory=dict)
    volumes: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

    def run(self, words: Sequence[str], **more: str) -> "subprocess.Popen[bytes]":
        """Start a command as the container would, with further variables."""
        absent = modules_without(self.installed)
        (self.place / "sitecustomize.py").write_text(CUSTOM.format(absent=absent))
        path = os.pathsep.join([os.path.dirname(sys.executable), os.defpath])
        home = self.place / "home"
        basic = {"PATH": path, "PYTHONPATH": str(self.place), "HOME": str(home)}
        number = self.users[self.user] if can_change_user() else None
        return subprocess.Popen(
            words,
            cwd=self.folder,
            env={**basic, **self.environment, **more},
            user=number,
            group=number,
            extra_groups=None if number is None else [],
            stdout=subprocess.DEVNULL,
            stderr=(self.place / SAID).open("ab"),
        )

    def said(self) -> str:
        """Return what the commands have written to their error stream."""
        return (self.place / SAID).read_text(encoding="utf-8")


def build(dockerfile: Path, place: Path) -> Image:
    """Follow a Dockerfile's steps in an empty folder; its own folder is the context."""
    image = Image(place, place)
    for name, words in steps(dockerfile.read_text(encoding="utf-8")):
        STEPS[name](image, words, dockerfile.parent)
    return image


def steps(text: str) -> Iterator[tuple[str, str]]:
    """Yield each instruction with its words, comments left out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines():
        if line.strip():
            name, _, words = line.strip().partition(" ")
            yield name, words.strip()


def locked(path: Path) -> dict[str, str]:
    """Return the pins of a lock that hold for this Python on Linux; each must have hashes."""
    pins = {}
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = (line.strip() for line in text.splitlines())
    for line in (line for line in lines if line and not line.startswith("#")):
        said, *hashes = line.split("--hash=sha256:")
        requirement = Requirement(said)
        (pin,) = requirement.specifier
        assert pin.operator == "==" and hashes, line
        if requirement.marker is None or requirement.marker.evaluate({"sys_platform": "linux"}):
            pins[requirement.name] = pin.version
    return pins


def modules_without(installed: Mapping[str, str]) -> list[str]:
    """Return the modules of this environment that come from none of the installed packages."""
    from importlib.metadata import packages_distributions

    kept = {normal(name) for name in installed}
    homes = packages_distributions()
    return [name for name in homes if not {normal(home) for home in homes[name]} & kept]


def can_change_user() -> bool:
    """Whether this is root, and another user could run this Python, too."""
    python = Path(sys.executable).resolve()
    open_to_all = all(path.stat().st_mode & 0o001 for path in (python, *python.parents))
    return os.geteuid() == 0 and open_to_all


def normal(name: str) -> str:
    """Return a package's name as indexes write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _from(image: Image, words: str, context: Path) -> None:
    assert re.fullmatch(r"python:3\.\d+-slim", words), words


def _workdir(image: Image, words: str, context: Path) -> None:
    image.folder = image.place / words.lstrip("/")
    image.folder.mkdir(parents=True)


def _copy(image: Image, words: str, context: Path) -> None:
    source, target = words.split()
    shutil.copy(context / source, image.folder / target)


def _run(image: Image, words: str, context: Path) -> None:
    assert image.user in ROOT_USERS, "what is installed must not belong to the user"
    for command in words.split("&&"):
        program, *arguments = shlex.split(command)
        COMMANDS[program](image, arguments)


def _pip(image: Image, arguments: list[str]) -> None:
    assert "--require-hashes" in arguments, "install with --require-hashes"
    lock = image.folder / arguments[arguments.index("-r") + 1]
    image.installed = locked(lock)
    for name, pin in image.installed.items():
        assert version(name) == pin, f"the lock has {name} {pin}, here is {version(name)}"


def _useradd(image: Image, arguments: list[str]) -> None:
    image.users[arguments[-1]] = int(arguments[arguments.index("--uid") + 1])
    home = image.place / "home"
    home.mkdir()
    _chown(image, [arguments[-1], str(home)])


def _mkdir(image: Image, arguments: list[str]) -> None:
    for name in arguments:
        (image.folder / name).mkdir()


def _chown(image: Image, arguments: list[str]) -> None:
    user, *paths = arguments
    for path in paths:
        if can_change_user():
            os.chown(image.folder / path, image.users[user], image.users[user])


def _user(image: Image, words: str, context: Path) -> None:
    assert image.users[words] > 0
    image.user = words


def _env(image: Image, words: str, context: Path) -> None:
    image.environment |= dict(word.split("=", 1) for word in shlex.split(words))


def _volume(image: Image, words: str, context: Path) -> None:
    assert (image.place / words.lstrip("/")).is_dir(), "a new volume takes its owner from here"
    image.volumes.append(words)


def _expose(image: Image, words: str, context: Path) -> None:
    assert words == image.environment["PORT"], f"{words} is not the port that it listens on"


def _healthcheck(image: Image, words: str, context: Path) -> None:
    image.health = json.loads(words.split("CMD", 1)[1])


def _cmd(image: Image, words: str, context: Path) -> None:
    assert image.user not in ROOT_USERS, "it would run as root"
    image.command = json.loads(words)


STEPS = {
    "FROM": _from,
    "WORKDIR": _workdir,
    "COPY": _copy,
    "RUN": _run,
    "USER": _user,
    "ENV": _env,
    "VOLUME": _volume,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "CMD": _cmd,
}
COMMANDS = {"pip": _pip, "useradd": _useradd, "mkdir": _mkdir, "chown": _chown}
