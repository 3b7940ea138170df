"""May one more node of its partition go out by our doing, and which of too many gives way?

The nodes have no common lock: each counts the others' marks at the scheduler, drains, and counts
again. Of a partition's claims, ordered by (time of the claim, name), the first `limit` stay and
each later one gives its own back.

Why that ends with at most `limit` nodes out, also when 60 drain in the same second:

- The scheduler stamps each claim, in the order in which it takes them, with its own clock. Its
  resolution is a second, so a node that drains later in the same second, but has the smaller
  name, comes before one that has already counted. A second later nothing can come before it.
- Say more than `limit` nodes stay for good, each having counted once more when the second of its
  own claim was over. Take the last of them in the order. When it counted, the claims of all the
  others stood (each is of the same second or an earlier one, and has never been given back), so
  it saw at least `limit` claims before its own, and would have given way. So it cannot be.
- At least `limit` stay, too: before the first `limit` in the order there are never enough others.

So the decisive count is one made after the claim's second. A drain that sees other fresh claims
waits for it; one that saw itself alone answers at once, and every read within YOUNG_SECONDS of the
claim counts again. Too many nodes are out at most until then. Where a count gets no answer the
drain is not reported as done, and asking again counts again.

Each node waits a moment of its own between its first two counts, longer where the partition is
large: of two hundred that fail together the first few are out before the rest have counted, and
few of them need to give anything back. That is kindness to the jobs and to the controller; the
limit does not rest on it.

The clock of the node matters little: it remembers when it has drained by its own. A clock step
backwards at the scheduler, and a node whose helper dies and never comes back, are outside of this:
the limit is soft. The hard one is the fleet controller's budget.
"""

import math
import zlib
from collections.abc import Iterable

import msgspec

YOUNG_SECONDS = 60.0
SPREAD_SECONDS_A_NODE = 0.01
SPREAD_MAXIMUM_SECONDS = 2.0
SECOND_OVER = 1.1  # the scheduler's resolution, and a little for its own delay


class Claim(msgspec.Struct, frozen=True):
    """One node that is out by hpcdoctor, as the scheduler shows it."""

    node: str
    reason: str
    at: str  # UTC in one fixed form, so that it sorts by time


class Partition(msgspec.Struct, frozen=True):
    """Nodes that stand in for each other, and those of them that we have taken out."""

    name: str
    nodes: int
    claims: list[Claim]

    def others(self, node: str) -> list[Claim]:
        return [claim for claim in self.claims if claim.node != node]


def limit_of(partition: Partition, nodes: int, share_ratio: float) -> int:
    """Return how many of its nodes may be out: the larger of a number and a share."""
    # 0.29 * 100 is 28.999999999999996.
    return max(nodes, math.floor(share_ratio * partition.nodes + 1e-9))


def why_no_more(partition: Partition, node: str, limit: int) -> str | None:
    """Return why this node, not yet out, must stay in, or None."""
    out = len(partition.others(node))
    return None if out < limit else sentence(partition, out, limit)


def why_give_back(partition: Partition, node: str, limit: int) -> str | None:
    """Return why this node, which is out, must give way to those before it, or None."""
    order = sorted(partition.claims, key=lambda claim: (claim.at, claim.node))
    before = [claim.node for claim in order].index(node) if is_in(partition, node) else 0
    return None if before < limit else sentence(partition, len(order), limit)


def is_in(partition: Partition, node: str) -> bool:
    return any(claim.node == node for claim in partition.claims)


def spread_seconds(partitions: Iterable[Partition], node: str, mark: str) -> float:
    """Return how long this node waits for the others, from 0 to what its partitions' size asks."""
    largest = max((partition.nodes for partition in partitions), default=0)
    share = zlib.crc32(f"{node} {mark}".encode()) / 2**32
    return share * min(SPREAD_MAXIMUM_SECONDS, largest * SPREAD_SECONDS_A_NODE)


def contested(partitions: Iterable[Partition], node: str, since: str) -> bool:
    """Tell whether another node of these was claimed at `since` or later."""
    return any(claim.at >= since for part in partitions for claim in part.others(node))


def sentence(partition: Partition, out: int, limit: int) -> str:
    are = "is" if out == 1 else "are"
    return (
        f"{out} of {partition.nodes} nodes of partition {partition.name} {are} out by hpcdoctor, "
        f"the limit is {limit}"
    )
