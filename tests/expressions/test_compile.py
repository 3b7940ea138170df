"""Names and types are checked at load; the answer says what was probably meant."""

import pytest

from hpcdoctor.expressions.compile import ExpressionError, Scope, compile_expression
from hpcdoctor.expressions.types import Type, Unknown
from tests.expressions.machine import SCOPE, VALUES, Machine, evaluate, reason


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        # names
        ("cout > 1", 1, "gives no `cout`; did you mean `count`"),
        ("state == idle", 10, 'gives active, .*A text stands in quotes: "idle"'),
        ("1 < 2 && xid.acton == 1", 10, "did you mean `xid.action`"),
        ("xid.zzzzzzz", 1, "there are xid.action, xid.fatal"),
        ("profil.gpu > 1", 1, "no name begins with `profil.`; did you mean `profile`"),
        ("state.length > 1", 1, "`state` is a field and has no parts"),
        ("profile == 1", 1, "say which part of the profile"),
        # a condition that is none
        ("count", 1, "a condition must be true or false, and this is a number; compare"),
        ("count + 1", 7, "a condition must be true or false, and this is a number"),
        ("90s", 1, "this is a duration"),
        ("count > 1 && state", 14, "each side of `&&` must be true or false, and this is a text"),
        ("!count", 2, "what `!` denies must be true or false"),
        ("count ? active : active", 1, "what stands before"),
        # types that do not meet
        ("count > 5m", 7, "a number cannot be compared with a duration; only a field in _seconds"),
        ("age > 5", 5, "a duration cannot be compared with a number; give 5 its unit, as in 5s"),
        ("active == 1", 8, "write the name alone for true"),
        ("true == 1", 6, "true is not 1 here"),
        ("1 < count < 5", 11, "join two comparisons with `&&`"),
        ("state == 1", 7, "a text cannot be compared with a number; put .* in quotes"),
        ('count == "1"', 7, "write the number without quotes"),
        ("state == true", 7, "stand without"),
        ('flags == "link"', 7, "write `in`"),
        ('state < "b"', 7, "a text has no order .*9 would come after 10"),
        ("active < true", 8, "has no order; join two"),
        ('state + "x" == "y"', 1, "`\\+` is for numbers and durations, and this is a text"),
        ("active + 1 > 1", 1, "this is true or false"),
        ("age + 5 > 90s", 5, "give the number its unit"),
        ("uptime_seconds - 60 > 1m", 21, "a number cannot be compared with a duration"),
        ("age * age > 1s", 5, "two durations cannot be multiplied"),
        ("-state == 1", 2, "after `-` must be a number"),
        ("active ? 1 : state", 8, "both ends of `\\? :` are of one type"),
        # lists
        ("3 in flags", 3, "never in a list whose items are each a text; a text stands in quotes"),
        ('count in ["a"]', 7, "a number is never in a list"),
        ("count in state", 7, "for a part of a text write matches"),
        ("count in 3", 10, "after `in` must be a list"),
        ('count in [1, "a"]', 14, "the first is a number and this is a text"),
        # functions
        ("incrase(count, 1h) > 1", 1, "no function `incrase`; did you mean `increase`"),
        ("avg(count, 1h) > 1", 1, "did you mean `mean\\(field, 5m\\)`"),
        ('state.startsWith("a")', 1, 'as in `starts_with\\(text, "nfs"\\)`'),
        ('duration("5m") > age', 1, "write a duration as it is"),
        ("zzz(count)", 1, "there are before_boot, has, increase"),
        ("increase(count) > 1", 1, "takes 2 arguments, as in `increase\\(field, 1h\\)`, .* 1$"),
        ("has(count, limit)", 1, "has takes 1 argument, .* are 2$"),
        ("has(1 + 1)", 7, "has\\(\\) takes a name"),
        ("has(cuont)", 5, "did you mean `count`"),
        ("matches(count, 'a*')", 9, "each argument of matches must be a text"),
        # windows
        ("increase(count, 60) > 1", 17, "a duration such as 5m or 1h; give 60 its unit, as in 60m"),
        ("increase(count, limit) > 1", 17, "is a duration such as 5m or 1h$"),
        ("increase(count, 500ms) > 1", 17, "from 1s to 31d"),
        ("mean(count, 32d) > 1", 13, "from 1s to 31d"),
        ("increase(count + limit, 1h) > 1", 16, "takes the name of a field; write `increase"),
        ("rate(profile.x, 1h) > 1", 6, "takes the name of a field"),
        ("rate(cuont, 1h) > 1", 6, "did you mean `count`"),
        ("increase(state, 1h) > 1", 10, "the first argument of increase must be a number"),
        ("share(count, 1h) > 0.5", 7, "the first argument of share must be true or false"),
        ("share(rate(count, 5m) > 1, 1h) > 0.5", 7, "rate cannot stand inside share"),
    ],
)  # fmt: skip
def test_a_mistake_at_load_is_named_with_its_column_and_the_fix(
    text: str, column: int, message: str
) -> None:
    with pytest.raises(ExpressionError, match=message) as error:
        compile_expression(text, SCOPE)
    assert error.value.column == column


def test_a_long_sum_nests_too() -> None:
    compile_expression("+".join(["1"] * 31) + " > 0", SCOPE)
    with pytest.raises(ExpressionError, match="at most 32 deep"):
        compile_expression("+".join(["1"] * 2000) + " > 0", SCOPE)


def test_a_long_row_of_conditions_is_evaluated_to_its_end() -> None:
    text = " || ".join(["count > 9"] * 300) + " || count == 3"
    assert compile_expression(text, SCOPE).evaluate(Machine()) is True


def test_an_expression_tells_what_it_reads() -> None:
    expression = compile_expression(
        "count > profile.gpu.count && increase(errors_total, 1h) > 3 && has(xid.action)", SCOPE
    )
    assert expression.fields == {"count"}
    assert expression.dotted == {"profile.gpu.count", "xid.action"}
    (window,) = expression.windows
    assert (window.function, window.field, window.seconds) == ("increase", "errors_total", 3600)
    assert window.fields == {"errors_total"}
    assert window.text == "increase(errors_total, 1h)"
    assert expression.type is Type.BOOL


def test_a_window_written_twice_is_one_and_white_space_makes_no_other() -> None:
    text = "rate(count, 60m) > 1 || rate( count,1h ) > 2"
    expression = compile_expression(text, SCOPE)
    assert [window.key for window in expression.windows] == ["rate(count, 3600)"]
    other = compile_expression("rate(count, 1h) < 5", SCOPE).windows[0]
    assert expression.windows[0] == other
    assert hash(expression.windows[0]) == hash(other)
    assert other != compile_expression("rate(count, 2h) < 5", SCOPE).windows[0]


def test_the_argument_of_share_is_evaluated_on_its_own() -> None:
    expression = compile_expression('share(count > limit && state == "active", 5m) > 0.5', SCOPE)
    (window,) = expression.windows
    assert window.field is None
    assert window.key == 'share(count > limit && state == "active", 300)'
    assert window.fields == {"count", "limit", "state"}
    assert expression.fields == frozenset()
    assert window.evaluate(Machine()) is True


def test_a_window_has_the_unit_of_what_it_looks_at() -> None:
    for text in ("max(age, 5m) > 1m", "max(uptime_seconds, 5m) > 1m", "mean(age * 2, 5m) > 1m"):
        compile_expression(text, SCOPE)
    for text in ("rate(uptime_seconds, 5m) > 1m", "share(active, 5m) > 1m"):
        with pytest.raises(ExpressionError, match="cannot be compared with a duration"):
            compile_expression(text, SCOPE)


def test_a_window_is_not_asked_where_its_field_is_unknown_now() -> None:
    machine = Machine({**VALUES, "errors_total": None})
    value = compile_expression("increase(errors_total, 1h) > 3", SCOPE).evaluate(machine)
    assert value == Unknown("errors_total is not given by this machine")
    assert machine.asked == ["errors_total"]


def test_every_name_of_the_profile_loads_and_may_be_absent() -> None:
    assert reason("count < profile.infiniband.rate_gigabits_per_second") == (
        "the profile does not say infiniband.rate_gigabits_per_second"
    )
    assert evaluate("count < profile.gpu.count") is True
    assert evaluate('profile.gpu.name == "H100"') is True
    assert evaluate('"H100" in profile.gpu.names') is True
    assert evaluate("profile.gpu.present") is True


def test_a_name_of_a_catalogue_has_the_type_it_was_declared_with() -> None:
    assert evaluate('xid.action == "reset"') is True
    assert reason("xid.fatal") == "the xid catalogue does not say fatal"


def test_a_profile_of_another_type_is_unknown_and_says_so() -> None:
    assert reason("count < profile.gpu.name") == (
        "profile.gpu.name is a text where a number is due"
    )
    condition = compile_expression("profile.gpu.count", SCOPE)
    assert condition.evaluate(Machine()) == Unknown(
        "profile.gpu.count is a number where true or false is due"
    )
    assert reason("profile.gpu.name == profile.gpu.count") == (
        "a text cannot be compared with a number"
    )
    assert reason("profile.gpu.name < profile.gpu.name") == "a text has no order"


def test_a_reading_of_another_type_than_declared_is_unknown() -> None:
    assert reason("count > 1", count="many") == "count is a text where a number is due"
    assert reason("count > 1", count=True) == "count is true or false where a number is due"
    assert reason("active", active=1) == "active is a number where true or false is due"
    assert reason("count > 1", count=float("nan")) == "count is not a number"
    assert reason('"a" in flags', flags="a") == "flags is a text where a list is due"


def test_has_is_never_unknown() -> None:
    for name in ("missing", "profile.absent", "profile.gpu.fans"):
        assert evaluate(f"has({name})") is False
        assert evaluate(f"has({name}) && {name} > 3") is False
    assert evaluate("has(count) && has(profile.gpu.count) && has(xid.action)") is True
    assert evaluate("has(count)", count=Unknown("not read")) is False


def test_an_expression_need_not_be_a_condition_where_none_is_due() -> None:
    expression = compile_expression("count * 2", SCOPE, None)
    assert expression.type is Type.NUMBER
    assert expression.evaluate(Machine()) == 6
    with pytest.raises(ExpressionError, match="this expression must be a text"):
        compile_expression("count * 2", SCOPE, Type.TEXT)


def test_a_scope_without_names_says_so() -> None:
    with pytest.raises(ExpressionError, match="gives nothing"):
        compile_expression("x > 1", Scope({}))


def test_fields_may_be_called_like_functions() -> None:
    scope = Scope({"min": Type.NUMBER, "rate": Type.NUMBER})
    assert compile_expression("min < rate && rate(rate, 5m) > min", scope).fields == {"min", "rate"}
