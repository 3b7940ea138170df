"""Which options does each of NHC's checks take? Read up to the first other word."""

from hpcdoctor.nhc.notes import Call

RESOURCES = "0aAflskKm:u:e:r:"
MOUNT = "0rs:t:o:O:e:E:f:F:"
USERS = "c:u:n:p:"
MOAB = "t:a:m:v:"

# A letter with a colon takes a value. None: words alone.
TAKES: dict[str, str | None] = {
    "check_hw_cpuinfo": None,
    "check_hw_physmem": None,
    "check_hw_swap": None,
    "check_hw_mem": None,
    "check_hw_physmem_free": None,
    "check_hw_swap_free": None,
    "check_hw_mem_free": None,
    "check_hw_eth": None,
    "check_hw_gm": None,
    "check_hw_ib": None,
    "check_hw_mcelog": None,
    "check_dmi_data_match": "!nh:t:",
    "check_dmi_raw_data_match": "!n",
    "check_file_contents": None,
    "check_file_test": None,
    "check_file_stat": "m:M:u:g:U:G:t:T:d:D:n:o:N:O:",
    "check_fs_mount": MOUNT,
    "check_fs_mount_rw": MOUNT,
    "check_fs_mount_ro": MOUNT,
    "check_fs_size": None,
    "check_fs_free": None,
    "check_fs_used": None,
    "check_fs_inodes": None,
    "check_fs_ifree": None,
    "check_fs_iused": None,
    "check_ps_service": "0fvVSrcsku:d:m:e:E:",
    "check_ps_daemon": None,
    "check_ps_blacklist": None,
    "check_ps_cpu": RESOURCES,
    "check_ps_mem": RESOURCES,
    "check_ps_physmem": RESOURCES,
    "check_ps_time": RESOURCES,
    "check_ps_loadavg": None,
    "check_ps_kswapd": None,
    "check_ps_unauth_users": USERS,
    "check_ps_userproc_lineage": USERS,
    "check_cmd_output": "t:r:m:M:C:O:e:",
    "check_cmd_status": "t:r:",
    "check_cmd_dmesg": "t:r:m:M:C:O:e:",
    "check_net_ping": "I:W:c:i:s:t:w:",
    "check_net_socket": "!0an:p:s:l:r:t:u:d:e:E:",
    "check_nv_healthmon": None,
    "check_nvsmi_healthmon": None,
    "check_moab_sched": MOAB,
    "check_moab_rm": MOAB,
    "check_moab_torque": MOAB,
}


def read(words: list[str]) -> Call | str:
    """Return the call, or why its options are none of the check's."""
    check, *left = words
    takes = TAKES[check]
    options: list[tuple[str, str]] = []
    while takes is not None and left and left[0].startswith("-") and left[0] != "-":
        cluster = left.pop(0)[1:]
        if cluster == "-":
            break
        while cluster:
            letter, cluster = cluster[0], cluster[1:]
            at = takes.find(letter) if letter != ":" else -1
            if at < 0:
                return f"{check} has no option -{letter}"
            if takes[at + 1 : at + 2] != ":":
                options.append((letter, ""))
            elif cluster or left:
                options.append((letter, cluster or left.pop(0)))
                cluster = ""
            else:
                return f"-{letter} of {check} has no value behind it"
    return Call(check, words, options, left)
