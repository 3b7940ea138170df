"""Which files are made from the commands' options? Writes them below a folder such as /usr/share.

python -m hpcdoctor.cli.pages packaging/share
"""

import sys
import tomllib
from pathlib import Path

from hpcdoctor.cli.pages import completion, manual
from hpcdoctor.cli.pages.options import commands

CHECKOUT = Path(__file__).parents[3]


def files() -> dict[str, str]:
    """Return the text of each file; the gate's page comes from the program itself."""
    known = commands()
    found = {
        "man/man1/hpcdoctor.1": manual.program(known),
        "man/man5/hpcdoctor.yaml.5": manual.settings_file(),
        "bash-completion/completions/hpcdoctor": completion.bash(known),
        "zsh/site-functions/_hpcdoctor": completion.zsh(known),
        "fish/vendor_completions.d/hpcdoctor.fish": completion.fish(known),
    }
    if (gate := gate_program()) is not None:
        found["man/man8/hpcdoctor-gate.8"] = manual.gate(gate.read_text())
    return found


def gate_program() -> Path | None:
    """Return the program that the wheel brings as `hpcdoctor-gate`."""
    built = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    for source, name in built["targets"]["wheel"].get("shared-scripts", {}).items():
        if name == "hpcdoctor-gate":
            return CHECKOUT / str(source)
    return None


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m hpcdoctor.cli.pages FOLDER\n")
        return 64
    for name, text in files().items():
        path = Path(arguments[0]) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
