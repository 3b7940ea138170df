"""What are NHC's check_hw_* to us?"""

from hpcdoctor.nhc import values
from hpcdoctor.nhc.notes import Call, Code, Notes, OwnCheck

TOTAL = {
    "check_hw_physmem": ("total_bytes", "memory"),
    "check_hw_swap": ("swap_total_bytes", "swap"),
    "check_hw_mem": ("(total_bytes + swap_total_bytes)", "memory and swap"),
}
FREE = {
    "check_hw_physmem_free": ("available_bytes", "memory"),
    "check_hw_swap_free": ("swap_free_bytes", "swap"),
    "check_hw_mem_free": ("(available_bytes + swap_free_bytes)", "memory and swap"),
}


def convert(call: Call, notes: Notes) -> None:
    match call.check:
        case "check_hw_physmem" | "check_hw_swap" | "check_hw_mem":
            _total(call, notes)
        case "check_hw_physmem_free" | "check_hw_swap_free" | "check_hw_mem_free":
            _free(call, notes)
        case "check_hw_cpuinfo":
            notes.better.append(
                "a profile with `cpu: online:` tells by cpus-missing and "
                "cpus-offline which cpus are "
                "not at work, also where sockets differ"
            )
        case "check_hw_eth" | "check_hw_gm":
            _interface(call, notes)
        case "check_hw_ib":
            if len(call.rest) > 2:
                notes.told.append("only a rate and one port are read; the rest is left out")
            notes.better.append(
                "infiniband-link, infiniband-rate and infiniband-link-errors "
                "look at every port, its "
                "errors and flaps; list the ports in the profile"
            )
        case _:  # check_hw_mcelog
            notes.warn(
                Code.NOT_MEASURED_PASSES,
                "NHC passes where mcelog or its daemon is missing; here that is unknown",
            )
            notes.better.append(
                "dimm-corrected-errors, dimm-uncorrected-errors and "
                "machine-check read EDAC and the "
                "kernel's log, DIMM by DIMM, without mcelog"
            )


def _total(call: Call, notes: Notes) -> None:
    field, what = TOTAL[call.check]
    if len(call.rest) < 2:
        notes.warn(
            Code.MISSING_MAX,
            f"{call.check} with one number: the missing maximum counts as 0, so it fails on every "
            "node; write the maximum",
        )
    low, high, fudge = (*call.rest, "", "", "")[:3]
    least, most = values.size_bytes(low or "0"), values.size_bytes(high or "0")
    if least is None or most is None or least < 0 or most < 0:
        return  # limits.py tells of it
    share, added = values.percent(fudge), values.size_bytes(fudge or "0")
    if share is not None:
        above, below = (100 + share) / 100, (100 - share) / 100
        when = f"{field} * {above:g} < {least} || {field} * {below:g} > {most}"
        if share > 100:
            return
    elif added is not None and added >= 0:
        when = f"{field} + {added} < {least} || {field} - {added} > {most}"
    else:
        return
    summary = f"The {what} of this node is not between {low or 0} and {high or 0}"
    notes.checks.append(OwnCheck("memory", "10m", summary, when))
    notes.better.append(
        "a profile with `memory: total_bytes:` and memory-shrank tell how much is missing"
    )


def _free(call: Call, notes: Notes) -> None:
    field, what = FREE[call.check]
    least = values.size_bytes(call.rest[0]) if call.rest else None
    if least is None or least < 0:
        if not call.rest:
            notes.why_not = f"{call.check} names no minimum"
        return
    if least == 0:
        notes.nothing_asked()
        return
    summary = f"Fewer than {call.rest[0]} of the {what} are free"
    notes.checks.append(OwnCheck("memory", "1m", summary, f"{field} < {least}"))
    if "available" in field:
        notes.better.append(
            "what the kernel itself calls available is taken, and not "
            "MemFree+Buffers+Cached, which "
            "counts shared memory as free"
        )


def _interface(call: Call, notes: Notes) -> None:
    if not call.rest:
        notes.why_not = f"{call.check} names no interface"
        return
    if call.check == "check_hw_gm":
        notes.warn(Code.OBSOLETE, "Myrinet (gm) has not been in the kernel for years")
    name = call.rest[0]
    notes.warn(
        Code.LINK_NOT_CHECKED,
        f"only that {name} exists is looked at: a link that is down passes; `ethernet: interfaces: "
        f"[{name}]` in the profile has ethernet-link look at the link",
    )
    if len(call.rest) > 1:
        notes.told.append(f"only {name} is looked at, the words behind it are not")
