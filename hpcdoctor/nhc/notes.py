"""What is to be said and written of one line? Codes of warnings, and what fills a file."""

from enum import StrEnum

import msgspec

from hpcdoctor.nhc import targets


class Code(StrEnum):
    """Where NHC does something else than the author of the line probably meant."""

    BACKSLASH_LOST = "backslash-lost"
    COMMENT_CONTINUED = "comment-continued"
    LAST_LINE_DROPPED = "last-line-dropped"
    CRLF = "crlf"
    BYTE_ORDER_MARK = "byte-order-mark"
    NO_SEPARATOR = "no-separator"
    BLANKS_COLLAPSED = "blanks-collapsed"
    BAD_RANGE = "bad-range"
    RANGE_WIDTH = "range-width"
    NAME_NOT_RANGE = "name-not-range"
    MATCHES_ALL = "matches-all"
    SLASH_IS_REGEX = "slash-is-regex"
    MODE_NOT_OCTAL = "mode-not-octal"
    NOT_A_NUMBER = "not-a-number"
    MISSING_MAX = "missing-max"
    SSHD_TITLE = "sshd-title"
    SUBSTRING_IGNORE = "substring-ignore"
    DMESG_NO_WINDOW = "dmesg-no-window"
    LINK_NOT_CHECKED = "link-not-checked"
    NOT_MEASURED_PASSES = "not-measured-passes"
    NOOP_OPTION = "noop-option"
    DESTRUCTIVE = "destructive"
    UNKNOWN_PROGRAM = "unknown-program"
    NO_EFFECT_HERE = "no-effect-here"
    OBSOLETE = "obsolete"
    NEVER_FAILS = "never-fails"
    UNCONVERTED = "unconverted"


class Warned(msgspec.Struct, frozen=True):
    code: Code
    text: str


class OwnCheck(msgspec.Struct, frozen=True):
    """A check on one of our probes that comes to NHC's verdict."""

    probe: str
    every: str
    summary: str
    when: str
    where: str = ""
    per: str = ""


class Remedy(msgspec.Struct, frozen=True):
    """What NHC would have done about it; written with `enabled: false`."""

    summary: str
    run: list[str]


class Notes:
    """Filled while one line is converted."""

    def __init__(self) -> None:
        self.warnings: list[Warned] = []
        self.better: list[str] = []  # where hpcdoctor sees more than the line did
        self.told: list[str] = []  # whatever else its owner has to know
        self.checks: list[OwnCheck] = []
        self.mounts: list[str] = []  # that the profile has to name
        self.never_fails = False  # and so nothing is written for it
        self.remedies: list[Remedy] = []
        self.words: list[str] | None = None  # what to run in place of the line's own words
        self.why_not = ""  # it cannot be converted, and why

    def warn(self, code: Code, text: str) -> None:
        self.warnings.append(Warned(code, text))

    def nothing_asked(self) -> None:
        """Note that the check passes on every node, whatever is there."""
        self.never_fails = True
        self.checks.clear()
        self.warn(
            Code.NEVER_FAILS,
            "it passes on every node, whatever is found there: nothing is written for it; ask for "
            "more than 0, or leave the line out",
        )

    def mstr(self, text: str, what: str, *, path: bool = False) -> None:
        """Look for the traps of one match string."""
        pattern = targets.parse(text)
        broken = targets.malformed_groups(pattern)
        if broken is not None:
            everything = "every host" if what == "the host expression" else "everything"
            end = everything if pattern.negated else "nothing more"
            lost = ", ".join(broken[1])
            self.warn(
                Code.BAD_RANGE,
                f"{what} {text}: `{broken[0]}` is no name with a digit and no single range; from "
                f"there on it matches {end} (lost: {lost})",
            )
        for name, meant in targets.names_like_ranges(pattern):
            self.warn(
                Code.NAME_NOT_RANGE,
                f"{what} {text}: `{name}` is the name of one single host; as a range it is written "
                f"{meant}",
            )
        if pattern.inner == "" and pattern.kind in (targets.Kind.GLOB, targets.Kind.REGEX):
            every = "every host" if what == "the host expression" else "every text"
            if pattern.kind is targets.Kind.GLOB and pattern.negated:
                self.warn(Code.MATCHES_ALL, f"{what} `{text}` turns nothing round: {every} matches")
            elif pattern.kind is targets.Kind.REGEX and not pattern.negated:
                self.warn(
                    Code.MATCHES_ALL,
                    f"{what} `{text}` is an empty regular expression: {every} matches",
                )
        for sentence in targets.uneven_ranges(pattern):
            self.warn(Code.RANGE_WIDTH, f"{what} {text}: {sentence}")
        if pattern.kind is targets.Kind.BROKEN:
            self.warn(Code.SLASH_IS_REGEX, f"{what} `/` makes NHC end with an error, no check run")
        if pattern.kind is targets.Kind.REGEX:
            plain = not set(pattern.inner) & set("^$*+?()[]|{}\\")
            if plain and (path or "/" in pattern.inner):
                self.warn(
                    Code.SLASH_IS_REGEX,
                    f"{what} {text} begins and ends with a slash: it is a regular expression, "
                    "found anywhere in the text, and no path",
                )


class Call(msgspec.Struct, frozen=True):
    """A built-in check with its words, options and what is left of them."""

    check: str
    words: list[str]
    options: list[tuple[str, str]]
    rest: list[str]

    def has(self, letter: str) -> bool:
        return any(option == letter for option, _ in self.options)

    def values(self, letters: str) -> list[str]:
        return [value for option, value in self.options if option in letters]
