"""Which programs only look at a node, and with which arguments? Tables for looks.py.

A list of what acts would never be complete, so this is the list of what looks; what is not in it is
written switched off. A pattern is held against all arguments, joined by single blanks.
"""

import re
from collections.abc import Mapping

FOLDERS = ("/bin", "/sbin", "/usr/bin", "/usr/sbin")
HARMLESS_FILES = ("/dev/null", "/dev/stdout", "/dev/stderr")
# They look, whatever stands behind them.
_LOOKERS = """
: [ break cd continue echo exit export false local printf pwd read return set shift test true type
wait
base64 basename bzcat cat cksum cmp column comm cut diff dirname du egrep expand expr fgrep
fold getfacl getfattr grep head hexdump join jq ls lsattr md5sum namei nl od paste readlink
realpath rev seq sha1sum sha256sum sha512sum stat strings sum tac tail tr wc which xzcat zcat
zgrep
arch df dpkg-query fgconsole findmnt free getconf getent groups id iostat last lastb locale
logname lsblk lscpu lsipc lslocks lslogins lsmem lsmod lsns lsof lspci lsscsi lsusb modinfo
mountpoint mpstat nproc numastat pgrep pidof pidstat pmap ps pstree runlevel sleep tty uname
uptime users vmstat w who whoami x86info
bhosts dig getenforce host ibaddr ibhosts ibnodes ibstat ibstatus ibswitches ibv_devices
ibv_devinfo lvs mmgetstate mmlsmount netstat nslookup ping ping6 pvs sacct selinuxenabled
showmount sinfo sprio squeue sshare vgs xfs_info
"""
LOOKERS = frozenset(_LOOKERS.split())

# They look with these arguments, joined by blanks. Nothing is filled in where a pattern is narrow.
_WORDS = r"(?: \S+)*"
_END = r"(?: |$)"
ONLY: Mapping[str, str] = {
    "arp": rf"(?:-[an]+{_END})*",
    "beegfs-ctl": rf"--(?:listnodes|listtargets|getentryinfo|getquota){_WORDS}",
    "chronyc": r"(?:-[nc]+ )*(?:tracking|sources|sourcestats|activity)(?: -v)?",
    "command": rf"-[vV]{_WORDS}",
    "date": rf"(?:-u{_END}|-I\S*{_END}|-R{_END}|"
    rf"--utc{_END}|--iso-8601\S*{_END}|-d \S+{_END}|--date=\S+{_END}|"
    r"\+(?:(?! -).)*)*",
    "dd": rf"(?:(?:if|bs|ibs|obs|count|skip|iflag|oflag|status|conv)=\S+{_END}|"
    rf"of=/dev/null{_END})*",
    "dmesg": rf"(?:--(?:ctime|human|kernel|nopager|raw|time-format=\S+|level=\S+|"
    rf"facility=\S+){_END}|"
    rf"-[HTLPrktxuqwWde]+{_END}|-[lf] \S+{_END})*",
    "dmidecode": rf"(?:-[qu]{_END}|-[tsH] \S+{_END}|"
    rf"--(?:type|string)[= ]\S+{_END}|--quiet{_END})*",
    "dpkg": rf"(?:-[lsLSVp]|--(?:list|status|listfiles|search|verify|audit)){_WORDS}",
    "ethtool": r"(?:(?:-[acgiklmnSTux]|--(?:driver|show-\S+|statistics|module-info)) )?[^- ]\S*",
    "hostname": r"(?:-[sfidAIyv]+|--(?:short|fqdn|long|domain|ip-address|all-ip-addresses))?",
    "ifconfig": rf"(?:-a{_END}|[^- ]\S*)?",
    "ip": r"(?:-(?:4|6|o|s|d|j|p|br|brief|details|statistics|oneline|json|c=\S+) )*"
    r"(?:link|addr|address|a|l|route|r|neigh|neighbour|n|rule|maddr|-V)"
    r"(?: (?:show|list|ls|get)(?: (?!set|add|del|flush|replace|change)\S+)*)?",
    "ipmitool": r"(?:-I \S+ )?(?:sdr(?: (?:list|elist|type|get)(?: \S+)*)?|sensor(?: list)?|"
    r"sel(?: (?:list|elist|info|get)(?: (?:0x)?[0-9a-f]+| first| last)*)?|"
    r"chassis (?:status|poh)|power status|mc info|"
    r"fru(?: print(?: \d+)?)?|lan print(?: \d+)?|dcmi power reading)",
    "journalctl": r"(?!.*--(?:va|rota|ro |ro$|fl|syn|rel|sm|set|up|cursor-f)).*",
    "kill": r"(?:-0|-s 0)(?: \S+)+",
    "lctl": rf"(?:get_param|list_param|list_nids|device_list|dl){_WORDS}",
    "lfs": rf"(?:df|check|quota|getstripe|osts|mdts|path2fid){_WORDS}",
    "mdadm": rf"(?:-D|-Q|-E|--detail|--query|--examine){_WORDS}",
    "mmhealth": rf"(?:node|cluster) show{_WORDS}",
    "mount": r"(?:-l|-t \S+|-l -t \S+)?",
    "nmcli": rf"(?:-\S+ )*(?:device|dev|d|connection|con|c|general|g)(?: (?:status|show){_WORDS})?",
    "numactl": r"(?:-H|--hardware|-s|--show)",
    "nvidia-smi": r"(?:-L|--list-gpus|"
    rf"(?:(?:-q|-x|--query|--xml-format|--(?:query-\S+|format|id|display)=\S+|-[id] \S+){_END})*|"
    r"topo -[mp]\S*|nvlink (?:-s|--status|-e|-c)(?: -i \S+)?|mig -l\S+(?: -i \S+)?)",
    "nvme": rf"(?:list|list-subsys|smart-log|error-log|id-ctrl|id-ns){_WORDS}",
    "pdsh": r"-V",
    "pkill": r"-0(?: \S+)+",
    "rocm-smi": rf"(?:--show\S+{_END})*",
    "route": r"(?:-[ne]+)?",
    "rpcinfo": rf"-[pstu]{_WORDS}",
    "rpm": rf"(?!.*(?:--eval|--def|--pipe| -[DE]))(?:-q\S*|--query|-V\S*|--verify){_WORDS}",
    "sacctmgr": rf"(?:-[nPpi]+ )*(?:show|list){_WORDS}",
    "scontrol": rf"(?:-[oadM]+ |--(?:oneliner|details|all) )*(?:"
    rf"show|ping|version|listpids){_WORDS}",
    "sdiag": r"",
    "service": r"(?:--status-all|\S+ status)",
    "smartctl": rf"(?:-[aHixAjcn]{_END}|-l [^ ,]+{_END}|-d \S+{_END}|"
    rf"--(?:all|health|info|xall|attributes|json){_END}|"
    rf"/dev/\S+{_END})*",
    "ss": r"(?!(?:.* )?(?:-\w*[KD]|--k|--di)).*",
    "swapon": r"(?:-s|--show\S*|--summary)(?: --(?:noheadings|bytes|raw))*",
    "sysctl": r"(?:-[anNe]+ )*(?:-a|[a-z][A-Za-z0-9_./-]*(?: [a-z][A-Za-z0-9_./-]*)*)",
    "systemctl": r"(?:-q |-l |-a |--(?:quiet|full|all|no-pager|no-legend|plain|failed|user|value) |"
    r"-[ptno] \S+ |--(?:property|type|state|lines|output)=\S+ )*"
    r"(?:is-active|is-failed|is-enabled|is-system-running|status|show|cat|list-units|"
    rf"list-unit-files|list-timers|list-jobs|list-sockets|list-dependencies|get-default){_WORDS}",
    "tee": r"(?:-a )?/dev/null",
    "timedatectl": r"(?:status|show)?",
    "top": rf"(?:-b{_END}|-b?n ?\d+{_END}|-w \d+{_END})*",
    "tune2fs": r"-l \S+",
    "ulimit": r"(?:-[HS])?(?:-[a-zA-Z])?",
    "umask": r"",
    "uniq": rf"(?:-[cdiu]+{_END})*",
    "zfs": rf"(?:list|get){_WORDS}",
    "zpool": rf"(?:list|status|get|iostat){_WORDS}",
}

# They look, unless one of their words is of this kind.
NEVER_WITH: Mapping[str, str] = {
    "file": r"-[^-]*C.*|--com.*",
    "find": r"-(?:delete|exec|execdir|ok|okdir|fls|fprint.*)",
    "sort": r"-[^-]*o.*|--o.*|--co.*|-[^-]*T.*|--te.*",
}

# Said of these is that they act; of all other programs, that they are not known.
_ACTORS = """
apt apt-get blkdiscard chgrp chmod chown cp crontab dd dnf fdisk fsck halt hdparm init insmod
install iptables kill killall ln logger losetup mkdir mkfs mkswap modprobe mount mv nft nvidia-smi
parted pkill poweroff reboot rm rmdir rmmod rsync scancel scontrol sed service setfacl sfdisk
sgdisk shred shutdown swapoff swapon sync sysctl systemctl tee telinit touch truncate umount
useradd usermod wipefs xfs_repair yum
"""
ACTORS = frozenset(_ACTORS.split())

# What runs another program: how many words of its own it takes, as a pattern.
WRAPPERS: Mapping[str, str] = {
    "timeout": r"(?:-[ks] \S+|-[ks]\S+|-[fpv]|--\S+)(?= )|\d\S*(?= )",
    "sudo": r"-[nEHS]+(?= )|-[ug] \S+(?= )",
    "nice": r"-n \S+(?= )|-\S+(?= )",
    "ionice": r"-[cn] \S+(?= )|-\S+(?= )",
    "nohup": r"(?!)",
    "setsid": r"-[fw]+(?= )",
    "stdbuf": r"-\S+(?= )",
    "env": r"-i(?= )|[A-Za-z_]\w*=\S*(?= )",
    "command": r"-p(?= )",
    "builtin": r"(?!)",
    "exec": r"(?!)",
    "xargs": r"-[0rtx]+(?= )|-[nPLI] \S+(?= )|-[nPL]\d+(?= )|--no-run-if-empty(?= )",
}
# Variables of NHC whose values checks.sh runs.
RUN_BY_CHECKS: Mapping[str, str] = {
    "MCELOG": "mcelog",
    "MDIAG_CMD": "mdiag",
    "NVIDIA_HEALTHMON": "nvidia-healthmon",
    "NVIDIA_SMI_HEALTHMON": "nvidia-smi",
    "SQUEUE_CMD": "squeue",
}
SHELLS = ("sh", "bash", "dash")
ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)\+?=.*", re.DOTALL | re.ASCII)
# They have a program load, or be, another one.
DANGEROUS = re.compile(r"LD_\w+|BASH_ENV|ENV|IFS|SHELLOPTS|BASHOPTS|PROMPT_COMMAND")
