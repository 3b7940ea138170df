"""What are NHC's check_file_* to us?"""

import re

from hpcdoctor.nhc.notes import Call, Code, Notes

TESTS = frozenset("-" + letter for letter in "abcdefghkprstuwxOGLSN")


def convert(call: Call, notes: Notes) -> None:
    match call.check:
        case "check_file_contents":
            _contents(call, notes)
        case "check_file_test":
            _test(call, notes)
        case _:
            _stat(call, notes)


def _contents(call: Call, notes: Notes) -> None:
    if len(call.rest) < 2:
        notes.why_not = "check_file_contents needs a file and something to look for"
        return
    for text in call.rest[1:]:
        notes.mstr(text, "the text")
    if all(text.startswith("!") for text in call.rest[1:]):
        notes.warn(
            Code.NOT_MEASURED_PASSES,
            f"NHC passes where {call.rest[0]} is missing, since it asks only for what must not be "
            "there; here that is unknown",
        )


def _test(call: Call, notes: Notes) -> None:
    files = [word for word in call.rest if not word.startswith("-")]
    flags = [word for word in call.rest if word.startswith("-") and word != "-!"]
    strange = [flag for flag in flags if flag not in TESTS]
    if strange:
        notes.why_not = f"{strange[0]} is no test of check_file_test; write each flag by itself"
    elif not files or not flags:
        notes.why_not = "check_file_test needs at least one test and one file"


def _stat(call: Call, notes: Notes) -> None:
    if not call.rest or not call.options:
        notes.why_not = "check_file_stat needs at least one option and one file"
        return
    for mode in call.values("mM"):
        if re.fullmatch(r"[1-9][0-9]*", mode):
            as_octal = f"0{int(mode):o}"
            notes.warn(
                Code.MODE_NOT_OCTAL,
                f"mode {mode} is decimal to NHC, and so {as_octal}: write 0{mode}",
            )
    for letter, value in call.options:
        if (
            letter in "mMtTdDnoNO"
            and re.fullmatch(r"0[0-7]*|[1-9][0-9]*|0x[0-9a-fA-F]+", value) is None
        ):
            notes.why_not = f"-{letter} {value} of check_file_stat is no number"
