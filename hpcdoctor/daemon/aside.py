"""How is something done that may block for ever, without holding up the daemon or its end?

In a thread of its own that nobody waits for. While one is under way no second one is begun, so a
dead file system costs one thread and not one a minute.
"""

import threading
from collections.abc import Callable


class Aside:
    """At most one piece of work at a time."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread: threading.Thread | None = None

    def begin(self, work: Callable[[], None]) -> bool:
        """Do it meanwhile; False where the one before is not done yet."""
        if self._thread is not None and self._thread.is_alive():
            return False
        self._thread = threading.Thread(target=work, name=self._name, daemon=True)
        self._thread.start()
        return True

    def wait(self, seconds: float) -> None:
        """Give what is under way so long to be done, and no longer."""
        if self._thread is not None:
            self._thread.join(seconds)
