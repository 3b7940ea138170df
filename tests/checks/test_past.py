from typing import Any

import pytest

from hpcdoctor.checks.history import History
from hpcdoctor.checks.past import LIMIT
from hpcdoctor.expressions.compile import compile_expression
from hpcdoctor.expressions.errors import ExpressionError
from hpcdoctor.expressions.types import Known, Scope, Type, Unknown
from hpcdoctor.model.instant import Instant

SCOPE = Scope(fields={"total_bytes": Type.NUMBER, "version": Type.TEXT}, dotted={})


class Machine:
    """One subject of one check, looked at in one boot after another."""

    def __init__(self) -> None:
        self.history = History()
        self.boot = "first"
        self.reading: dict[str, Any] = {}

    @property
    def now(self) -> Instant:
        return Instant(self.boot, 100.0, 1e9)

    def field(self, name: str, /) -> Any:
        return self.reading.get(name)

    def dotted(self, name: str, /) -> Any:
        return None

    def window(self, window: Any, /) -> Known | Unknown:
        return self.history.window("check", "subject", window, self.now)

    def look(self, text: str, **reading: Any) -> object:
        self.reading = reading
        expression = compile_expression(text, SCOPE)
        values = {window: window.evaluate(self) for window in expression.windows}
        self.history.observe("check", "subject", values, self.now)
        return expression.evaluate(self)


LESS = "total_bytes < 0.97 * before_boot(total_bytes)"


def test_the_first_boot_has_nothing_to_compare_with() -> None:
    answer = Machine().look(LESS, total_bytes=100)
    assert isinstance(answer, Unknown)
    assert answer.first


def test_what_shrank_over_a_reboot_is_seen_for_as_long_as_that_boot_lasts() -> None:
    machine = Machine()
    machine.look(LESS, total_bytes=100)
    machine.boot = "second"
    assert machine.look(LESS, total_bytes=96) is True
    assert machine.look(LESS, total_bytes=96) is True
    machine.boot = "third"
    assert machine.look(LESS, total_bytes=96) is False


def test_a_change_within_a_boot_is_not_one_over_a_reboot() -> None:
    machine = Machine()
    machine.look(LESS, total_bytes=100)
    machine.boot = "second"
    machine.look(LESS, total_bytes=100)
    assert machine.look(LESS, total_bytes=99) is False


def test_texts_are_compared_as_well() -> None:
    machine = Machine()
    machine.look("version != before_boot(version)", version="550.54")
    machine.boot = "second"
    assert machine.look("version != before_boot(version)", version="550.54") is False
    assert machine.look("version != before_boot(version)", version="570.86") is True


def test_a_value_that_is_not_there_now_is_unknown() -> None:
    machine = Machine()
    machine.look(LESS, total_bytes=100)
    machine.boot = "second"
    assert isinstance(machine.look(LESS), Unknown)


def test_it_survives_a_restart_in_another_boot() -> None:
    machine = Machine()
    machine.look(LESS, total_bytes=100)
    saved = machine.history.dump()
    machine.boot, machine.history = "second", History()
    assert machine.history.load(saved, machine.now) is False  # the windows are gone
    assert machine.look(LESS, total_bytes=90) is True


def test_it_takes_a_field_and_no_length_of_time() -> None:
    with pytest.raises(ExpressionError, match="takes 1 argument"):
        compile_expression("before_boot(total_bytes, 1h) > 0", SCOPE)
    with pytest.raises(ExpressionError, match="takes the name of a field"):
        compile_expression("before_boot(total_bytes + 1) > 0", SCOPE)


def test_it_is_bounded() -> None:
    machine = Machine()
    expression = compile_expression(LESS, SCOPE)
    for number in range(LIMIT + 10):
        values: dict[Any, Any] = dict.fromkeys(expression.windows, number)
        machine.history.observe("check", str(number), values, machine.now)
    machine.boot = "second"
    assert machine.history.window("check", "5", expression.windows[0], machine.now) == Unknown(
        "needs a boot to compare with", first=True
    )
    assert machine.history.window("check", "15", expression.windows[0], machine.now) == 15
