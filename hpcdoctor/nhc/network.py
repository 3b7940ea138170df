"""What are NHC's check_net_* to us?"""

from hpcdoctor.nhc.notes import Call, Notes
from hpcdoctor.nhc.remedies import commands


def convert(call: Call, notes: Notes) -> None:
    if call.check == "check_net_ping":
        if not call.rest:
            notes.why_not = "check_net_ping names nobody to ask"
            return
        if not call.values("t"):
            notes.told.append(
                "NHC's packets live for 2 hops; give -t where the target is further away"
            )
        notes.told.append(
            "the prober's unit has no network: give it a drop-in as "
            "docs/write-a-check.md has it, else "
            "this is unknown there"
        )
        return
    if not call.values("psrltud") and not call.has("a"):
        notes.why_not = "check_net_socket says nothing of the socket"
        return
    for text in call.values("pslrtud"):
        notes.mstr(text, "the socket")
    found_is_failure = call.has("!")
    failing, well = ("E", "e") if found_is_failure else ("e", "E")
    commands(call, notes, failing=failing, well=well)
