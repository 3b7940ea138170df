"""How is a document printed as JSON, so that it does no harm on a terminal?"""

import re

import msgspec

_FOREIGN = re.compile(r"[^\x00-\x7e]")


def json_text(document: object, *, indent: int = 2) -> str:
    """Return it in ASCII alone: what turns the writing around on a terminal is escaped.

    Nothing is lost: who parses it has the same text. `msgspec.Struct` and plain values.
    """
    text = msgspec.json.format(msgspec.json.encode(document), indent=indent).decode()
    return text if text.isascii() and "\x7f" not in text else _FOREIGN.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
