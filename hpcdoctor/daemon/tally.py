"""How often has what happened, since the daemon was started? Counted for the metrics."""

from collections import Counter
from collections.abc import Iterable

from hpcdoctor.daemon.story import Told
from hpcdoctor.events.vocabulary import TYPES
from hpcdoctor.model.action import ActionResult, Operation, Result
from hpcdoctor.model.node import Node


class Tally:
    """Counters that only grow; every type of event is there from the beginning."""

    def __init__(self) -> None:
        self.events: dict[str, int] = dict.fromkeys(TYPES, 0)
        self.actions: Counter[tuple[str, str]] = Counter()  # operation, result
        self.last_drain: Result | None = None  # how the last one that was asked for ended
        self.repairs: Counter[tuple[str, str]] = Counter()  # remediation, result

    def count(self, told: Iterable[Told], ended: Iterable[ActionResult], node: Node) -> None:
        for one in told:
            self.events[one.type] += 1
        names = {repair.action: repair.remediation for repair in node.repairs}
        for result in ended:
            self.actions[result.operation.value, result.result.value] += 1
            if result.operation is Operation.DRAIN:
                self.last_drain = result.result
            if result.operation is Operation.REMEDIATE:
                self.repairs[names.get(result.id, "unknown"), result.result.value] += 1
