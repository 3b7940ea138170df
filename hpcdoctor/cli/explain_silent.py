"""What do lines of the kernel log mean that are no finding by themselves, where somebody asks?

They stand beside a line that is one, or tell that all went well; the catalogue leaves them silent.
"""

import re
from typing import NamedTuple


class Silent(NamedTuple):
    """One such line, and what stands in it."""

    name: str
    values: dict[str, str]
    meaning: str


# Sources: Linux, arch/x86/kernel/cpu/mce/core.c and drivers/pci/pcie/aer.c; NVIDIA's driver.
LINES = (
    (
        "gpu_init_failed",
        r"NVRM: (?:RmInitAdapter|rm_init_adapter) failed!? ?\((?P<detail>[0-9a-fA-Fx:]{1,40})\)",
        "The driver could not start a GPU, and the line does not say which one: nvidia-smi -L "
        "shows which is missing. The form that names it (NVRM: GPU 0000:3b:00.0: RmInitAdapter "
        "failed!) is judged by check gpu-init-failed.",
    ),
    (
        # Not in the first digit of the status: the bit "uncorrected".
        "machine_check_corrected",
        r"(?:mce: )?\[Hardware Error\]: CPU (?P<cpu>\d+): Machine Check(?: Exception)?: "
        r"[0-9a-f]+ Bank (?P<bank>\d+): (?P<status>[014589cd][0-9a-f]{15})\b",
        "The processor has corrected this error: its status does not have the bit for what is "
        "uncorrected. What it was: ras-mc-ctl --errors. How often such errors come is judged by "
        "the checks dimm-corrected-errors and machine-checks-frequent.",
    ),
    (
        "aer_told_by_port",
        r"pcieport (?P<port>[0-9a-f:]{10,13}\.[0-7]): AER: (?:Multiple )?"
        r"(?P<severity>Correct(?:ed|able)|Uncorrect(?:ed|able) \((?:Non-Fatal|Fatal)\)) error "
        r"(?:message )?received(?: from|:) (?P<device>[0-9a-f:]{10,13}\.[0-7])",
        "The port tells of an error that the device below it has reported. The device's own line "
        "beside it (PCIe Bus Error: severity=...) says what it was, and is judged by check "
        "pcie-errors-logged; where there is none, the device may be gone: lspci -s and its "
        "address.",
    ),
)


def silent(text: str) -> Silent | None:
    """Return what the line means, where it is one of these."""
    for name, pattern, meaning in LINES:
        if (found := re.match(pattern, text)) is not None:
            return Silent(name, found.groupdict(), meaning)
    return None
