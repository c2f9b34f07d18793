"""Keep a service on what a registry alias points at: the version in charge is the one served.

The registry says which version should serve, `serving` does serve; here the second follows the
first, while requests go on.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mlops_course.errors import CourseError, RegistryError
from mlops_course.registry import CHAMPION, MODEL_NAME, find
from mlops_course.serving import Service
from mlops_course.tracking import STORE_ERRORS, Store

POLL_SECONDS = 0.5


@contextmanager
def serve(
    store: Store,
    alias: str = CHAMPION,
    *,
    service: Service | None = None,
    tell: Callable[[str], object] = lambda sentence: None,
) -> Iterator[Service]:
    """Serve the version that an alias points at, and follow the alias when it moves.

    No request is dropped when the version changes: the new one is loaded beside the old one and
    takes over between two requests. A service that died is started again.

    Parameters
    ----------
    service
        The service to use; by default one that keeps its prediction log in the workspace.
    tell
        Called with a sentence when the version changed or could not be changed.

    Raises
    ------
    RegistryError
        If the alias points at nothing.
    ServiceError
        If the service does not start or the model cannot be loaded.
    """
    service = service or Service(predictions=store.workspace.predictions)
    ended = threading.Event()
    follower = threading.Thread(target=_follow, args=(service, store, alias, tell, ended))
    with service:
        _load(service, store, alias)
        follower.start()
        try:
            yield service
        finally:
            ended.set()
            follower.join()


def _load(service: Service, store: Store, alias: str) -> str:
    """Load what the alias points at unless it is loaded; return the version if it is new."""
    found = find(store, alias)
    if found is None:
        raise RegistryError(
            f"No version of {MODEL_NAME} is {alias}.",
            "A service serves the version that an alias of the registry points at.",
            "Promote a version first: run `mlops-course simulate`, or lesson 04.",
        )
    if service.alive and service.version == found.version:
        return ""
    service.load(found.path, found.version)
    return found.version


def _follow(
    service: Service,
    store: Store,
    alias: str,
    tell: Callable[[str], object],
    ended: threading.Event,
) -> None:
    trouble = ""
    while not ended.wait(POLL_SECONDS):
        try:
            if version := _load(service, store, alias):
                tell(f"Version {version} serves now.")
            trouble = ""
        except (CourseError, *STORE_ERRORS) as error:
            if str(error) != trouble:
                trouble = str(error)
                tell(trouble)
