"""How is what was measured shown? One line a row as soon as it is there; the same rows as JSON."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

WIDTHS = (38, 10, 58, 8, 16, 3)
HEADINGS = ("what", "measured", "beside, in the same run", "ratio", "aim", "met")


class Row(NamedTuple):
    """One line of the table. Everything in it but the aim was measured in this run."""

    what: str
    measured: float | None  # None: could not be measured, and `beside` says why
    unit: str = "ms"
    beside: str = ""
    ratio: float | None = None
    aim: str = ""
    met: bool | None = None  # None: nothing is asked of it
    detail: Mapping[str, float] | None = None  # for the JSON


def not_measured(what: str, why: str) -> Row:
    """Return the row that says so."""
    return Row(what, None, beside=f"not measured: {why}")


def heading() -> str:
    return _line(HEADINGS)


def line(row: Row) -> str:
    if row.measured is None:
        return f"{row.what:<{WIDTHS[0]}}  {row.beside}"
    is_count = row.measured == int(row.measured)
    digits = 0 if is_count or row.measured >= 100 else 2 if row.measured < 10 else 1
    return _line(
        (
            row.what,
            f"{row.measured:.{digits}f} {row.unit}".rstrip(),
            row.beside,
            "" if row.ratio is None else f"{row.ratio:.2f} x",
            row.aim,
            {True: "yes", False: "no", None: ""}[row.met],
        )
    )


def _line(cells: tuple[str, ...]) -> str:
    right = (False, True, False, True, False, False)
    padded = [
        f"{cell:>{width}}" if to_right else f"{cell:<{width}}"
        for cell, width, to_right in zip(cells, WIDTHS, right, strict=True)
    ]
    return "  ".join(padded).rstrip()


def write_json(path: Path, machine: dict[str, str], rows: list[Row]) -> None:
    document = {"machine": machine, "rows": [row._asdict() for row in rows]}
    path.write_text(json.dumps(document, indent=2) + "\n")
