"""One query for everybody who asks the same at the same time: what keeps a miss from a stampede."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

Key = TypeVar("Key")
Found = TypeVar("Found")


class Flights(Generic[Key, Found]):
    """Answers by key that are just being fetched by some thread of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flying: dict[Key, Future[Found]] = {}

    def get(
        self, keys: Sequence[Key], fetch: Callable[[Sequence[Key]], Mapping[Key, Found]]
    ) -> dict[Key, Found]:
        """What `fetch` gives for the keys. Each key is fetched by one thread at a time; the others
        wait for it, and share its error.

        So an answer may have been asked for a moment before the question: never long, since a
        flight ends with its fetch.
        """
        mine: dict[Key, Future[Found]] = {}
        others: dict[Key, Future[Found]] = {}
        with self._lock:
            for key in keys:
                if key in self._flying:
                    others[key] = self._flying[key]
                else:
                    mine[key] = self._flying[key] = Future()
        found = self._fetch(mine, fetch) if mine else {}
        for key, future in others.items():
            if key not in found:
                found[key] = future.result()
        return found

    def _fetch(
        self,
        mine: Mapping[Key, "Future[Found]"],
        fetch: Callable[[Sequence[Key]], Mapping[Key, Found]],
    ) -> dict[Key, Found]:
        try:
            found = dict(fetch(list(mine)))
        except BaseException as error:
            self._land(mine)
            for future in mine.values():
                future.set_exception(error)
            raise
        self._land(mine)
        for key, future in mine.items():
            future.set_result(found[key])
        return found

    def _land(self, mine: Mapping[Key, "Future[Found]"]) -> None:
        with self._lock:
            for key in mine:
                del self._flying[key]
