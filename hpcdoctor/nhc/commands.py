"""What are NHC's check_cmd_* to us?"""

from hpcdoctor.nhc.notes import Call, Code, Notes

LONGEST_SECONDS = 7


def convert(call: Call, notes: Notes) -> None:
    for text in call.values("m"):
        notes.mstr(text, "the text")
    runs = " ".join([*call.values("e"), *call.rest])
    if call.check == "check_cmd_dmesg" or runs.split("/")[-1].split(" ")[0] == "dmesg":
        notes.warn(
            Code.DMESG_NO_WINDOW,
            "the whole kernel log is looked at, so one old line fails "
            "the node until it is restarted",
        )
        notes.better.append(
            "hpcdoctor reads the kernel's log as it is written, and "
            "knows Xid, MCE, EDAC, OOM and file "
            "system lines by their codes; try `hpcdoctor explain 'THE LINE'`"
        )
    elif not runs:
        notes.why_not = f"{call.check} names no command"
    for seconds in call.values("t"):
        if seconds.isdecimal() and int(seconds) > LONGEST_SECONDS:
            notes.told.append(
                f"a program has {LONGEST_SECONDS} s here, not {seconds}; one "
                "that takes longer is unknown"
            )
