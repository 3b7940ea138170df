"""What are NHC's check_dmi_* to us?"""

from hpcdoctor.nhc.notes import Call, Code, Notes


def convert(call: Call, notes: Notes) -> None:
    words = list(call.rest)
    negated = call.has("!") or call.has("n")
    if words and words[0] == "!":
        negated, words = True, words[1:]
    text = " ".join(words)
    if not text:
        notes.why_not = f"{call.check} names nothing to look for"
        return
    notes.mstr(text, "the text")
    if text.startswith("!"):
        notes.told.append(
            "a ! within the text means `some line does not match`, which "
            "is nearly always so; a ! of "
            "its own in front of it means `no line matches`"
        )
    if negated and call.check == "check_dmi_raw_data_match":
        notes.warn(
            Code.NOT_MEASURED_PASSES, "NHC passes where dmidecode is missing; here that is unknown"
        )
    notes.better.append("versions of the firmware are in the profile: `versions: bios: [...]`")
