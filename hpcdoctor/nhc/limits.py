"""Are the limits of a check numbers that NHC can calculate with? Its shell knows whole ones."""

import re

from hpcdoctor.nhc import values
from hpcdoctor.nhc.notes import Call, Code, Notes

WHOLE, SIZE, COUNT, PERCENT, TIME = "a whole number", "a size", "a count", "a percentage", "a time"
EXAMPLES = {
    WHOLE: "64",
    SIZE: "512MB",
    COUNT: "10k",
    PERCENT: "5%",
    TIME: "90m",
}
# What each word is; the words of check_fs_* begin behind the mount point.
KINDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "check_hw_cpuinfo": ((WHOLE,), (WHOLE,), (WHOLE,)),
    "check_hw_physmem": ((SIZE,), (SIZE,), (SIZE, PERCENT)),
    "check_hw_swap": ((SIZE,), (SIZE,), (SIZE, PERCENT)),
    "check_hw_mem": ((SIZE,), (SIZE,), (SIZE, PERCENT)),
    "check_hw_physmem_free": ((SIZE,),),
    "check_hw_swap_free": ((SIZE,),),
    "check_hw_mem_free": ((SIZE,),),
    "check_fs_size": ((SIZE,), (SIZE,)),
    "check_fs_free": ((SIZE, PERCENT),),
    "check_fs_used": ((SIZE, PERCENT),),
    "check_fs_inodes": ((COUNT,), (COUNT,)),
    "check_fs_ifree": ((COUNT, PERCENT),),
    "check_fs_iused": ((COUNT, PERCENT),),
    "check_ps_cpu": ((WHOLE, PERCENT),),
    "check_ps_mem": ((SIZE,),),
    "check_ps_physmem": ((SIZE, PERCENT),),
    "check_ps_time": ((TIME,),),
    "check_ps_loadavg": ((WHOLE,), (WHOLE,), (WHOLE,)),
    "check_ps_kswapd": ((WHOLE,), (WHOLE,)),
}


def look(call: Call, notes: Notes) -> None:
    """Warn of every limit that is no number of its kind; an empty one is none at all."""
    words = call.rest[1:] if call.check.startswith("check_fs_") else call.rest
    for word, kinds in zip(words, KINDS.get(call.check, ()), strict=False):
        if word and not any(_is(word, kind) for kind in kinds):
            wanted = " or ".join(f"{kind} ({EXAMPLES[kind]})" for kind in kinds)
            notes.warn(
                Code.NOT_A_NUMBER,
                f"{word} is not {wanted}: the shell that NHC calculates in ends with an error, and "
                "what is found on the node no longer counts; write the number out",
            )


def _is(word: str, kind: str) -> bool:
    if kind == SIZE:
        return values.size_bytes(word) is not None
    if kind == COUNT:
        return values.count(word) is not None
    if kind == PERCENT:
        return values.percent(word) is not None
    pattern = r"(?:\d+m)?(?:\d+s?)?" if kind == TIME else r"-?\d{1,18}"
    return re.fullmatch(pattern, word, re.ASCII) is not None
