"""What does a page for people consist of? Lines of one width, with labels in the margin."""

from hpcdoctor.model.finding import Verdict
from hpcdoctor.model.steps import continued, taken_apart
from hpcdoctor.report.width import columns, fitted, harmless, wrapped

NARROWEST, WIDEST = 36, 140
MARGIN = 10
HANG = 3  # of a next step, under its words: "1. "
COLOURS = {"critical": "31;1", "warning": "33", "unknown": "35", "ok": "32"}


class Page:
    """Lines that are no wider than the page; foreign text is made harmless on its way in."""

    def __init__(self, width: int, *, colour: bool = False, ascii_only: bool = False) -> None:
        self.width = max(NARROWEST, min(WIDEST, width))
        self.lines: list[str] = []
        self._colour = colour
        self._ascii_only = ascii_only

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"

    def safe(self, text: str) -> str:
        return harmless(text, ascii_only=self._ascii_only)

    def blank(self) -> None:
        self.lines.append("")

    def headline(self, verdict: Verdict, before: str, text: str, after: str) -> bool:
        """One line, whatever its length; return False where `text` had to be cut."""
        before, after = self.safe(before), self.safe(after)
        room = self.width - MARGIN - columns(before) - columns(after)
        whole = self.safe(text)
        self._line(self._verdict(verdict), before + fitted(whole, room) + after)
        return columns(whole) <= room

    def titled(self, verdict: Verdict, text: str) -> None:
        """A verdict in the margin, and what it is about, in full."""
        first, *more = wrapped(self.safe(text), self.width - MARGIN)
        self._line(self._verdict(verdict), first)
        for line in more:
            self._line("", line)

    def item(self, label: str, text: str, *, hang: int = 0) -> None:
        """A label in the margin, and the text beside it; further lines `hang` more to the right."""
        for line in wrapped(self.safe(text), self.width - MARGIN, hang=hang):
            self._line(label, line)
            label = ""

    def one_line(self, label: str, text: str) -> None:
        self._line(label, fitted(self.safe(text), self.width - MARGIN))

    def step(self, label: str, number: int, text: str) -> None:
        """A next step; its commands have lines of their own, to be copied whole."""
        room = self.width - MARGIN - HANG
        mark = f"{number}. "
        for command, piece in taken_apart(self.safe(text)):
            if command:
                self._command(label, mark, piece)
            else:
                indent = " " * HANG
                for line in wrapped(piece, room):
                    self._line(label, (mark or indent) + line)
                    label = mark = ""
            label = mark = ""

    def _command(self, label: str, mark: str, command: str) -> None:
        """Only what stands below the margin; a long line begins further left, to stay whole."""
        if mark:
            self._line(label, mark.rstrip())
        at = MARGIN + HANG + 2
        for line in continued(command, self.width - at):
            if columns(line) > self.width:
                self.lines += wrapped(line, self.width)  # one endless word
            else:
                self.lines.append(" " * min(at, self.width - columns(line)) + line)

    def _line(self, label: str, text: str) -> None:
        self.lines.append(f"{label:<{MARGIN}}{text}".rstrip())

    def _verdict(self, verdict: Verdict) -> str:
        text = f"{verdict.value.upper():<{MARGIN}}"
        return f"\x1b[{COLOURS[verdict.value]}m{text}\x1b[0m" if self._colour else text
