"""What leaves the daemon unasked? Events and state to the broker, metrics over HTTP."""

from collections.abc import Coroutine
from concurrent.futures import Executor
from typing import Any

from hpcdoctor.daemon.answers import Answers
from hpcdoctor.daemon.pipeline import Pipeline
from hpcdoctor.daemon.store import Store
from hpcdoctor.definitions.settings import Settings
from hpcdoctor.events.topics import Topics


class Outlet:
    """The way out, as far as the settings ask for one."""

    def __init__(
        self,
        settings: Settings,
        topics: Topics,
        store: Store,
        pipeline: Pipeline,
        executor: Executor,
    ) -> None:
        self._settings = settings
        self._pipeline = pipeline

    def wake(self) -> None:
        """Something new is in the tables."""

    def parts(self, answers: Answers) -> dict[str, Coroutine[Any, Any, None]]:
        return {}

    def notices(self) -> list[str]:
        return []

    def counts(self) -> dict[str, Any]:
        return {}
