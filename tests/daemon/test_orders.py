"""Is a person told the truth about an order, also of one that could not be stored?"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcdoctor.daemon.callers import Caller, Right
from hpcdoctor.daemon.control import Answer, Hold, Release, StandDown
from hpcdoctor.daemon.orders import NOT_STORED, Orders
from tests.daemon.test_pipeline import World

ROOT = Caller(user=0, pid=1, right=Right.ADMIN, name="root")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.executor.shutdown()
    world.store.close()


async def give(world: World, order: Hold | Release | StandDown) -> Answer:
    """Give an order as over the socket, and let the pipeline take what it has to."""
    pipeline = world.pipeline
    answer = asyncio.create_task(Orders(pipeline).give(order, ROOT))
    await pipeline.take(await pipeline.queue.get())
    return await answer


def refuse_writing(world: World, *, refuse: bool) -> None:
    world.store.connection.execute(f"PRAGMA query_only={'ON' if refuse else 'OFF'}")


@pytest.mark.parametrize("order", [Hold(why="full"), Release(why="full"), StandDown(why="full")])
async def test_an_order_that_cannot_be_stored_says_so_and_how_long_it_holds(
    world: World, order: Hold | Release | StandDown
) -> None:
    await give(world, Hold(why="before"))
    refuse_writing(world, refuse=True)
    answer = await give(world, order)
    assert answer.code == NOT_STORED
    assert "not stored: nothing can be written" in answer.text
    assert "it holds until the daemon ends" in answer.text


async def test_a_hold_is_in_force_at_once_and_stored_as_soon_as_it_can_be(world: World) -> None:
    refuse_writing(world, refuse=True)
    await give(world, Hold(why="full"))
    assert world.pipeline.node.hold is not None
    refuse_writing(world, refuse=False)
    await world.pipeline.retry()
    saved = world.store.load().node
    assert saved is not None
    assert saved.hold is not None


async def test_an_order_that_is_stored_says_nothing_of_it(world: World) -> None:
    answer = await give(world, Hold(why="a cable"))
    assert answer.code == 0
    assert "stored" not in answer.text
