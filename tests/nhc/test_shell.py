"""Is that called broken which bash refuses, and nothing else?"""

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcdoctor.nhc.shell import read

TEXT = """\
if then fi else elif while until do done for x in { } ( ) ; && || | & ! true $(true) "$(x)"
'q' >f 2>&1 [[ ]] ((1)) $((1+2)) ${X:-y} " ' > < x|y $X a=1 $( ) ${ # \\"""
WORDS = TEXT.split()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("if true; then", "`if` has no `fi`"),
        ("if true; fi", "`fi`"),
        ("if true; then true", "has no `fi`"),
        ("while true; do true", "has no `done`"),
        ("for x in a b; true; done", "has no `do`"),
        ("true; fi", "`fi` stands where"),
        ("true &&", "ends where a command is due"),
        ("| true", "`|` stands where"),
        ("true |", "ends where a command is due"),
        ("(true", "has no `)`"),
        ("echo $(true", "a parenthesis is never closed"),
        ("echo `true", "a backtick is never closed"),
        ("echo ${X", "`${` is never closed"),
        ("echo 'x", "a single quote is never closed"),
        ('echo "x', "a double quote is never closed"),
        ("[[ -e x", "`[[` has no `]]`"),
        ("echo >", "no file stands behind `>`"),
        ("echo $(if true; then)", "has no `fi`"),
    ],
)
def test_what_the_shell_refuses_is_said(text: str, why: str) -> None:
    assert why in read(text).broken


@pytest.mark.parametrize("text", ["case x in x) a;; esac", "f() { a; }", "cat << X", "echo $'x'"])
def test_what_is_not_read_is_strange_and_not_broken(text: str) -> None:
    assert read(text).strange
    assert not read(text).broken


@pytest.mark.parametrize("text", ["$(" * 5000, "${" * 5000, "(" * 5000, '"$(' * 5000, "a" * 50000])
def test_what_nests_too_deep_ends_in_no_traceback(text: str) -> None:
    said = read(text)
    assert said.broken or said.strange


@pytest.mark.real
@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=8))
def test_bash_refuses_the_same_texts(words: list[str]) -> None:
    text = " ".join(words)
    script = read(text)
    if not script.strange:
        ran = subprocess.run(["/bin/bash", "-n", "-c", text], capture_output=True)
        # Of a broken [[ it only speaks.
        assert bool(script.broken) is (ran.returncode != 0 or ran.stderr != b""), script.broken
