"""Keep a service on what the registry says: the version in charge, and who shares its traffic.

The registry says which version should serve and how requests are split; `serving` does serve.
Here the second follows the first, while requests go on. What a service should do is kept in the
registry alone, so a service that is started again takes up where the last one was.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from weakref import WeakKeyDictionary, WeakSet

from mlops_course.core.errors import CourseError, RegistryError, ServiceError
from mlops_course.core.files import database_files
from mlops_course.core.texts import short
from mlops_course.core.workspace import check_store
from mlops_course.registry.versions import MODEL_NAME, Registered, find, resolve
from mlops_course.serving.routing import CHALLENGER, CHAMPION, MODES, Split
from mlops_course.serving.service import Service
from mlops_course.training.tracking import STORE_ERRORS, Store

POLL_SECONDS = 0.25
SETTLED_SECONDS = 2.0
MOVE_SECONDS = 30.0
MODE = "split.mode"
SHARE = "split.share"
_following: WeakSet[Service] = WeakSet()
# The identity of the workspace from which each service has its models.
_serving: WeakKeyDictionary[Service, str] = WeakKeyDictionary()


def set_split(store: Store, split: Split, service: Service | None = None) -> None:
    """Say in the registry how requests are to be split; services that follow it obey.

    Parameters
    ----------
    service
        A service that follows the registry; given one, this returns once it obeys.

    Raises
    ------
    RegistryError
        If a challenger is to take part and no version has that alias.
    ServiceError
        If the service is closed or does not obey in time.
    WorkspaceError
        If the store is locked, damaged or deleted.
    """
    if service is not None:
        _refuse_closed(service)
    check_store(store.workspace)
    if split.mode != "off" and find(store, CHALLENGER) is None:
        raise RegistryError(
            f"No version of {MODEL_NAME} is {CHALLENGER}.",
            "A shadow or a canary needs a challenger beside the champion.",
            f"Point the alias {CHALLENGER} at a version first.",
        )
    store.client.set_registered_model_tag(MODEL_NAME, MODE, split.mode)
    store.client.set_registered_model_tag(MODEL_NAME, SHARE, str(split.share))
    if service is not None:
        _wait(lambda: service.split == split, lambda: f"splits requests as {service.split}")


def get_split(store: Store) -> Split:
    """Return how requests are to be split, as the registry has it; off unless it says more.

    Raises
    ------
    RegistryError
        If somebody has edited the tags that say it.
    """
    tags = store.client.get_registered_model(MODEL_NAME).tags
    mode = tags.get(MODE, "off")
    share = tags.get(SHARE, "0")
    try:
        return Split(mode, float(share))
    except ValueError as error:
        raise RegistryError(
            f"{MODEL_NAME} has the tags {MODE}={short(mode)!r} and {SHARE}={short(share)!r}.",
            f"{MODE} is one of {', '.join(MODES)}, {SHARE} a number from 0 to 1.",
            "Set them with `set_split`; until then a service goes on as it is.",
        ) from error


def catch_up(
    service: Service,
    store: Store,
    alias: str = CHAMPION,
    tell: Callable[[str], object] = lambda sentence: None,
) -> None:
    """Make a service do what the registry says now, and tell what changed.

    The champion comes last: with it the service is ready, and by then the split must hold. Where
    the workspace is another than the service has its models from, it begins anew and without one.
    """
    if _replaced(service, store):
        service.close()  # its log is gone, and a model that it holds is none of this workspace
        service.start()
        tell("The workspace was emptied or replaced; what the service had is forgotten.")
    champion = resolve(store, alias)
    split = get_split(store)
    challenger = find(store, CHALLENGER) if split.mode != "off" else None
    if challenger is None:
        split = Split()
    elif _load(service, challenger, CHALLENGER):
        tell(f"Version {challenger.version} is the challenger now.")
    if service.split != split:
        service.share(split)
        tell(f"Requests are split: {split.mode}, {split.share:.0%} to the challenger.")
    if _load(service, champion, CHAMPION):
        tell(f"Version {champion.version} serves now.")


@contextmanager
def serve(
    store: Store,
    alias: str = CHAMPION,
    *,
    service: Service | None = None,
    tell: Callable[[str], object] = lambda sentence: None,
) -> Iterator[Service]:
    """Serve the version that an alias points at, and follow the registry when it changes.

    No request is dropped when the version changes: the new one is loaded beside the old one and
    takes over between two requests. A service that died is started again.

    Parameters
    ----------
    service
        The service to use; by default one that keeps its prediction log in the workspace.
    tell
        Called with a sentence when something changed or could not be changed.

    Raises
    ------
    RegistryError
        If the alias points at nothing.
    ServiceError
        If the service does not start or the model cannot be loaded.
    """
    service = service or Service(predictions=store.workspace.predictions)
    ended = threading.Event()
    follower = threading.Thread(
        target=_follow, args=(service, store, alias, tell, ended), daemon=True
    )
    with service:
        catch_up(service, store, alias)
        follower.start()
        _following.add(service)
        try:
            yield service
        finally:
            _following.discard(service)
            ended.set()
            follower.join()


def wait_for(service: Service, version: str) -> str:
    """Wait until a service that follows an alias serves a version, and return that version.

    Raises
    ------
    ServiceError
        If it is closed or does not in time.
    """
    _refuse_closed(service)
    _wait(
        lambda: service.version == version,
        lambda: f"serves version {service.version or 'none'}, not {version}",
    )
    return version


def _refuse_closed(service: Service) -> None:
    if service not in _following:
        raise ServiceError(
            "This service is closed.",
            "Only a service that `serve` has open follows the registry.",
            "Run the cell that opens it again, and then this one.",
        )


def _wait(condition: Callable[[], bool], state: Callable[[], str]) -> None:
    deadline = time.monotonic() + MOVE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise ServiceError(
                f"The service {state()}.",
                f"It follows the registry within {MOVE_SECONDS:.0f} seconds.",
                "See that the alias points there and that the version's files are in place.",
            )
        time.sleep(POLL_SECONDS / 10)


def _replaced(service: Service, store: Store) -> bool:
    """Return whether a service has its models from a workspace that is not there any more."""
    now = store.workspace.identity
    before = _serving.get(service, now)
    _serving[service] = now
    return before != now


def _load(service: Service, version: Registered, role: str) -> bool:
    """Load a version unless it has the role already; return whether it was new."""
    same = service.versions.get(role) == version.version and service.paths[role] == version.path
    if service.alive and same:
        return False
    service.load(version.path, version.version, role, version.files)
    return True


def _follow(
    service: Service,
    store: Store,
    alias: str,
    tell: Callable[[str], object],
    ended: threading.Event,
) -> None:
    trouble = ""
    seen: tuple[float, str] = (0.0, "")
    while not ended.wait(POLL_SECONDS):
        written = _written(store)
        now = (written, store.workspace.identity)
        settled = now == seen and time.time() - written > SETTLED_SECONDS
        if settled and service.alive and not trouble:
            continue
        seen = now
        try:
            catch_up(service, store, alias, tell)
            trouble = ""
        except (CourseError, *STORE_ERRORS) as error:
            if str(error) != trouble:
                trouble = str(error)
                tell(trouble)


def _written(store: Store) -> float:
    """Return when the store was last written to; asking the registry itself costs 16 ms."""
    times = [0.0]
    for path in database_files(store.workspace.database):
        with suppress(FileNotFoundError):
            times.append(path.stat().st_mtime)
    return max(times)
