"""Do nodes that drain at the same time end within the limit?"""

from hypothesis import given
from hypothesis import strategies as st

from hpcdoctor.actions.limit import Claim, Partition, limit_of, why_give_back, why_no_more


def partition(*claims: tuple[str, str], nodes: int = 60) -> Partition:
    return Partition("main", nodes, [Claim(node, "hd:aaaa.1 x", at) for node, at in claims])


def test_the_larger_of_number_and_share_is_the_limit() -> None:
    assert limit_of(partition(nodes=60), 1, 0.02) == 1
    assert limit_of(partition(nodes=149), 1, 0.02) == 2
    assert limit_of(partition(nodes=150), 1, 0.02) == 3
    assert limit_of(partition(nodes=100), 1, 0.29) == 29
    assert limit_of(partition(nodes=10), 0, 0.02) == 0


def test_the_sentence_says_how_many_of_how_many_where() -> None:
    out = partition(("n1", "1"), ("n2", "1"), ("n3", "1"))
    assert (
        why_no_more(out, "n9", 1)
        == "3 of 60 nodes of partition main are out by hpcdoctor, the limit is 1"
    )
    one = partition(("n1", "1"))
    assert (
        why_no_more(one, "n9", 1)
        == "1 of 60 nodes of partition main is out by hpcdoctor, the limit is 1"
    )


def test_this_nodes_own_claim_does_not_stand_in_its_way() -> None:
    assert why_no_more(partition(("n1", "1")), "n1", 1) is None


def test_the_earlier_claim_stays_and_then_the_smaller_name() -> None:
    both = partition(("n2", "2026-01-01T00:00:01"), ("n1", "2026-01-01T00:00:02"))
    assert why_give_back(both, "n2", 1) is None
    assert why_give_back(both, "n1", 1) is not None
    same = partition(("n2", "2026-01-01T00:00:01"), ("n1", "2026-01-01T00:00:01"))
    assert why_give_back(same, "n1", 1) is None
    assert why_give_back(same, "n2", 1) is not None


def test_a_node_whose_claim_is_not_counted_gives_nothing_back() -> None:
    assert why_give_back(partition(("n1", "1"), ("n2", "1")), "n3", 1) is None


@given(
    drained_at=st.lists(st.floats(0, 5), min_size=1, max_size=60),
    count_delays=st.lists(st.floats(0, 4), min_size=60, max_size=60),
    limit=st.integers(1, 5),
)
def test_after_a_count_past_its_own_second_exactly_the_limit_is_left(
    drained_at: list[float], count_delays: list[float], limit: int
) -> None:
    """Every node counts at once, and once more at any time when the second of its claim is over."""
    steps = []
    for number, at in enumerate(drained_at):
        steps.append((at, 0, number, "drain"))
        steps.append((at, 1, number, "count"))
        steps.append((int(at) + 1 + count_delays[number], 2, number, "count"))
    out: dict[str, str] = {}
    for at, _, number, what in sorted(steps):
        name = f"n{number:02}"
        if what == "drain":
            out[name] = str(int(at))
        elif name in out and why_give_back(partition(*out.items()), name, limit):
            del out[name]
    assert len(out) == min(limit, len(drained_at))
