"""What are NHC's checks of GPUs and of Moab to us?"""

from hpcdoctor.nhc.notes import Call, Code, Notes


def convert(call: Call, notes: Notes) -> None:
    if call.check == "check_nvsmi_healthmon":
        notes.better.append(
            "gpu-missing, gpu-lost, gpu-xid, gpu-row-remap, gpu-thermal "
            "and others ask the driver for "
            "each GPU; nvidia-smi's exit status tells nothing of ECC, Xid, heat or a missing GPU"
        )
    elif call.check == "check_nv_healthmon":
        notes.warn(Code.OBSOLETE, "nvidia-healthmon is not made any more")
    else:
        notes.warn(
            Code.OBSOLETE, f"{call.check} asks Moab or TORQUE, which hpcdoctor does not know"
        )
