# What did NHC's checks look at? Each as a function, for the programs that hpcdoctor import-nhc wrote.
#
# Source this file first, call `finish` last. Exit status as of a Nagios plugin: 0 ok, 1 warning,
# 2 critical, 3 unknown. Where NHC passed or failed because it could not measure, this says unknown.
# Nothing here starts, stops, mounts, creates or kills anything: options that ask for it are read
# and left alone. Needs bash 4, coreutils, gawk or mawk.

exec 3>&1 # the program's own, also from within $(...)
set -f
shopt -s extglob
export LC_ALL=C
HOSTNAME=$(< /proc/sys/kernel/hostname)
HOSTNAME_S=${HOSTNAME%%.*}
SAID=""
WARNED=""
NONFATAL=""

say() { [[ -n $SAID ]] || SAID=$1; }

# Ends the program: what cannot be measured is neither well nor ill.
unknown() {
    printf '%s\n' "${1//[|$'\n']/¦}" >&3
    kill -s USR1 $$ 2>/dev/null
    exit 3
}
DONE=""
trap 'DONE=1; exit 3' USR1 # from within a subshell or a pipe, too
trap 'finish $?' EXIT # a line may say `exit` itself

fail() {
    if [[ -n $NONFATAL ]]; then
        [[ -n $WARNED ]] || WARNED=$1
        return 0
    fi
    say "$1"
    return 1
}

finish() { # the exit status of the line
    local status=$1
    trap - EXIT
    [[ -z $DONE ]] || exit 3
    if [[ $status -eq 0 && -n $WARNED ]]; then
        printf '%s\n' "${WARNED//[|$'\n']/¦}" >&3
        exit 1
    elif [[ $status -eq 0 ]]; then
        printf 'ok\n' >&3
        exit 0
    elif [[ $status -eq 127 ]]; then
        printf 'a program or function of this line is not here\n' >&3
        exit 3
    fi
    SAID=${SAID:-the line ended with exit status $status}
    printf '%s\n' "${SAID//[|$'\n']/¦}" >&3
    exit 2
}

command_not_found_handle() {
    unknown "there is no program or function $1 here"
}

# --- mstr, sizes

in_ranges() { # text, the list within the braces
    local text=$1 group low high width number
    local IFS=,
    for group in $2; do
        if [[ $group =~ ^([-A-Za-z0-9_]+)\[([0-9]+)-([0-9]+)\]([-.A-Za-z0-9]*)$ ]]; then
            low=${BASH_REMATCH[2]} high=${BASH_REMATCH[3]}
            width=${#low}
            ((${#high} > width)) && width=${#high}
            number=${text#"${BASH_REMATCH[1]}"}
            [[ $number == "$text" ]] && continue
            number=${number%"${BASH_REMATCH[4]}"}
            [[ $number == +([0-9]) && ${#number} -eq $width ]] || continue
            low=$((10#$low)) high=$((10#$high)) number=$((10#$number))
            ((low > high)) && { local other=$low; low=$high; high=$other; }
            ((number >= low && number <= high)) && return 0
        elif [[ $group =~ ^[-A-Za-z0-9_]+[0-9][-.A-Za-z0-9]*$ ]]; then
            [[ $group == "$text" ]] && return 0
        else
            return 1
        fi
    done
    return 1
}

mstr_positive() { # text, pattern without `!`
    local pattern=$2
    if [[ ${#pattern} -gt 1 && $pattern == /*/ ]]; then
        pattern=${pattern#/}
        pattern=${pattern%/}
        [[ $1 =~ $pattern ]]
    elif [[ ${#pattern} -gt 1 && $pattern == "{"*"}" ]]; then
        pattern=${pattern#"{"}
        in_ranges "$1" "${pattern%"}"}"
    else
        # shellcheck disable=SC2053  # a glob is what is wanted
        [[ $1 == $pattern ]]
    fi
}

mstr() { # text, pattern
    if [[ $2 == !* ]]; then
        ! mstr_positive "$1" "${2#!}"
    else
        mstr_positive "$1" "$2"
    fi
}

to_kib() { # a size of NHC; prints kB, fails where it is none
    local text=${1,,}
    [[ $text =~ ^([0-9]+)([kmgtpe]?)b?$ ]] || return 1
    local number=${BASH_REMATCH[1]} unit=${BASH_REMATCH[2]} steps
    case $unit in
        m) steps=1 ;; g) steps=2 ;; t) steps=3 ;; p) steps=4 ;; e) steps=5 ;; *) steps=0 ;;
    esac
    printf '%s' $((10#$number * 1024 ** steps))
}

to_count() {
    local text=${1,,}
    [[ $text =~ ^([0-9]+)([kmgtpe]?)$ ]] || return 1
    local steps
    case ${BASH_REMATCH[2]} in
        k) steps=1 ;; m) steps=2 ;; g) steps=3 ;; t) steps=4 ;; p) steps=5 ;; e) steps=6 ;; *) steps=0 ;;
    esac
    printf '%s' $((10#${BASH_REMATCH[1]} * 1000 ** steps))
}

need() { type -P "$1" >/dev/null || unknown "the program $1 is not here, so this cannot be measured"; }

# --- facts that a line may calculate with

hardware() {
    local sockets siblings cores processors
    read -r sockets siblings cores processors < <(awk -F: '
        /^processor/ { n++ }
        /^physical id/ { if (!($2 in seen)) { seen[$2] = 1; s++ } }
        /^siblings/ { t = $2 + 0 }
        /^cpu cores/ { c = $2 + 0 }
        END { print s + 0, t + 0, c + 0, n + 0 }' /proc/cpuinfo)
    if ((sockets == 0)); then
        HW_SOCKETS=$processors HW_CORES=$processors HW_THREADS=$processors
    else
        HW_SOCKETS=$sockets HW_CORES=$((sockets * cores)) HW_THREADS=$((sockets * siblings))
    fi
    HW_RAM_TOTAL=$(meminfo MemTotal)
    HW_SWAP_TOTAL=$(meminfo SwapTotal)
}

meminfo() { # prints the sum of the fields in kB
    local sum=0 field value
    for field in "$@"; do
        value=$(awk -v key="$field:" '$1 == key { print $2; exit }' /proc/meminfo)
        [[ -n $value ]] || unknown "/proc/meminfo does not tell $field"
        sum=$((sum + value))
    done
    printf '%s' "$sum"
}

# --- hardware

check_hw_cpuinfo() {
    hardware
    [[ -z $1 || $1 -eq $HW_SOCKETS ]] || { fail "$HW_SOCKETS sockets, not $1"; return; }
    [[ -z $2 || $2 -eq $HW_CORES ]] || { fail "$HW_CORES cores, not $2"; return; }
    [[ -z $3 || $3 -eq $HW_THREADS ]] || { fail "$HW_THREADS threads, not $3"; return; }
}

between() { # what, found in kB, min, max, fudge
    local low high fudge=0
    low=$(to_kib "${3:-0}") && high=$(to_kib "${4:-0}") || { fail "$3 $4 is no pair of sizes"; return; }
    if [[ $5 == *% ]]; then
        fudge=$(($2 * ${5%"%"} / 100))
    elif [[ -n $5 ]]; then
        fudge=$(to_kib "$5") || { fail "$5 is no size"; return; }
    fi
    (($2 + fudge >= low)) || { fail "$1: $2 kB, fewer than $3"; return; }
    (($2 - fudge <= high)) || { fail "$1: $2 kB, more than ${4:-0}"; return; }
}

at_least() { # what, found in kB, min
    local low
    low=$(to_kib "$3") || { fail "$3 is no size"; return; }
    (($2 >= low)) || fail "$1: $2 kB are free, fewer than $3"
}

check_hw_physmem() { between memory "$(meminfo MemTotal)" "$@"; }
check_hw_swap() { between swap "$(meminfo SwapTotal)" "$@"; }
check_hw_mem() { between "memory and swap" "$(meminfo MemTotal SwapTotal)" "$@"; }
check_hw_physmem_free() { at_least memory "$(meminfo MemFree Buffers Cached)" "$1"; }
check_hw_swap_free() { at_least swap "$(meminfo SwapFree)" "$1"; }
check_hw_mem_free() { at_least "memory and swap" "$(meminfo MemFree Buffers Cached SwapFree)" "$1"; }

check_hw_eth() {
    [[ -n $1 ]] && grep -qE "^[[:space:]]*$(quote_regex "$1"):" /proc/net/dev && return 0
    fail "there is no network interface $1"
}

quote_regex() { printf '%s' "$1" | sed 's/[][\.*^$+?(){}|/-]/\\&/g'; }

check_hw_gm() {
    grep -q '^gm ' /proc/modules || { fail "the kernel module gm is not loaded"; return; }
    check_hw_eth "$1"
}

check_hw_ib() { # [rate] [device:port]
    local rate="" wanted="" word port name state phys speed seen=""
    for word in "$@"; do
        if [[ $word == *:* || $word == *[a-z]* ]]; then wanted=$word; else rate=$word; fi
    done
    set +f
    for port in /sys/class/infiniband/*/ports/*; do
        [[ -e $port/state ]] || continue
        name=${port#/sys/class/infiniband/}
        name=${name/\/ports\//:}
        state=$(< "$port/state") phys=$(< "$port/phys_state") speed=$(< "$port/rate")
        seen="$seen $name: ${state#*: }, ${phys#*: }, ${speed%% *};"
        [[ ${state#*: } == ACTIVE && ${phys#*: } == LinkUp ]] || continue
        [[ -z $rate || ${speed%% *} == "$rate" ]] || continue
        [[ -z $wanted || $name == "$wanted" || ${name%:*} == "$wanted" ]] || continue
        set -f
        return 0
    done
    set -f
    fail "no InfiniBand port ${wanted:+$wanted }is up${rate:+ at $rate Gb/s};${seen:- there is none}"
}

check_hw_mcelog() {
    need "${MCELOG:-mcelog}"
    local out
    out=$(${MCELOG:-mcelog} ${MCELOG_ARGS---client} 2>&1)
    [[ $out == *"onnection refused"* || $out == *"o such file"* ]] && unknown "mcelog has no daemon: $out"
    [[ -z $out ]] && return 0
    local worst
    worst=$(awk -v c="${MCELOG_MAX_CORRECTED_RATE-9}" -v u="${MCELOG_MAX_UNCORRECTED_RATE-0}" '
        /^uncorrected/ { kind = "u" } /^corrected/ { kind = "c" }
        / in 24h/ { limit = kind == "u" ? u : c; if ($1 + 0 > limit + 0) { print $1, kind; exit } }' <<< "$out")
    [[ -z $worst ]] || fail "mcelog counts $worst memory errors in 24 h"
}

# --- DMI

dmi_lines() { # options for dmidecode; restructured lines
    dmidecode "$@" 2>/dev/null | awk '
        /^Handle / { title = ""; next }
        /^[^\t]/ { title = $0; next }
        /^\t\t/ { sub(/^\t\t/, ""); print title ": " section " " $0; next }
        /^\t/ { sub(/^\t/, ""); section = $0; print title ": " $0 }'
}

check_dmi_data_match() {
    need dmidecode
    local inverted="" options=() OPTIND=1 option
    if [[ $1 == -! ]]; then inverted=1; shift; fi
    while getopts ":nh:t:" option; do
        case $option in
            n) inverted=1 ;;
            h) options=(-H "$OPTARG") ;;
            t) if [[ $OPTARG == +([0-9]) ]]; then options=(-t "$OPTARG"); else DMI_TITLE=$OPTARG; fi ;;
            *) ;;
        esac
    done
    shift $((OPTIND - 1))
    if [[ $1 == "!" ]]; then inverted=1; shift; fi
    local line found="" any=""
    while IFS= read -r line; do
        [[ -z $DMI_TITLE || $line == "$DMI_TITLE:"* ]] || continue
        any=1
        if mstr "$line" "$*"; then found=1; break; fi
    done < <(dmi_lines "${options[@]}")
    [[ -n $any ]] || unknown "dmidecode tells nothing here"
    if [[ -n $inverted ]]; then
        [[ -z $found ]] || fail "the firmware says: $line"
    else
        [[ -n $found ]] || fail "no line of the firmware's tables matches $*"
    fi
}

check_dmi_raw_data_match() {
    need dmidecode
    local inverted="" line found="" any=""
    if [[ $1 == "!" || $1 == -! || $1 == -n ]]; then inverted=1; shift; fi
    while IFS= read -r line; do
        any=1
        if mstr "$line" "$*"; then found=1; break; fi
    done < <(dmidecode 2>/dev/null)
    [[ -n $any ]] || unknown "dmidecode tells nothing here"
    if [[ -n $inverted ]]; then
        [[ -z $found ]] || fail "the firmware says: $line"
    else
        [[ -n $found ]] || fail "no line of dmidecode matches $*"
    fi
}

# --- files

hold_against() { # stdin against the mstrs in MATCH; names the first that does not hold in WRONG
    local line index missing=() number=0
    WRONG=""
    for index in "${!MATCH[@]}"; do [[ ${MATCH[index]} == !* ]] || missing[index]=1; done
    while IFS= read -r line; do
        number=$((number + 1))
        for index in "${!MATCH[@]}"; do
            if [[ ${MATCH[index]} == !* ]]; then
                if mstr_positive "$line" "${MATCH[index]#!}"; then
                    WRONG="line $number matches ${MATCH[index]#!}: $line"
                    return 1
                fi
            elif [[ -n ${missing[index]} ]] && mstr_positive "$line" "${MATCH[index]}"; then
                unset "missing[index]"
            fi
        done
    done
    for index in "${!missing[@]}"; do WRONG="no line matches ${MATCH[index]}"; return 1; done
}

check_file_contents() {
    local file=$1 match
    shift
    MATCH=("$@")
    if [[ ! -r $file ]]; then
        for match in "$@"; do
            [[ $match == !* ]] || { fail "$file cannot be read"; return; }
        done
        unknown "$file is not there, so nobody knows what it does not contain"
    fi
    # Cooked as NHC reads it: trimmed, backslashes eaten, a last line without an end left out.
    hold_against < <(while read line; do printf '%s\n' "$line"; done < "$file") || fail "$file: $WRONG"
}

check_file_test() {
    local inverted="" flags=() files=() word flag file bad=0 all=0 first=""
    for word in "$@"; do
        if [[ $word == -! ]]; then inverted=1
        elif [[ $word == -[a-zA-Z] ]]; then flags+=("$word")
        else files+=("$word"); fi
    done
    for flag in "${flags[@]}"; do
        for file in "${files[@]}"; do
            all=$((all + 1))
            test "$flag" "$file" || { bad=$((bad + 1)); first=${first:-"$flag $file"}; }
        done
    done
    if [[ -n $inverted ]]; then
        ((all == 0 || bad > 0)) || fail "every test holds: ${flags[*]} ${files[*]}"
    else
        ((bad == 0)) || fail "the test $first does not hold"
    fi
}

check_file_stat() {
    local OPTIND=1 option file value now
    local -A want=()
    while getopts ":m:M:u:g:U:G:t:T:d:D:n:o:N:O:" option; do want[$option]=$OPTARG; done
    shift $((OPTIND - 1))
    now=$(date +%s)
    for file in "$@"; do
        [[ -e $file || -L $file ]] || { fail "$file is not there"; return; }
        for option in "${!want[@]}"; do
            value=${want[$option]}
            case $option in
                m) ((0$(stat -c %a -- "$file") == value)) ;;
                M) (((0$(stat -c %a -- "$file") & value) == value)) ;;
                u) [[ $(stat -c %u -- "$file") == "$value" ]] ;;
                g) [[ $(stat -c %g -- "$file") == "$value" ]] ;;
                U) [[ $(stat -c %U -- "$file") == "$value" ]] ;;
                G) [[ $(stat -c %G -- "$file") == "$value" ]] ;;
                t) ((0x$(stat -c %t -- "$file") == value)) ;;
                T) ((0x$(stat -c %T -- "$file") == value)) ;;
                d | D) (($(stat -c %d -- "$file") == value)) ;;
                n) (($(stat -c %Y -- "$file") >= now - value)) ;;
                o) (($(stat -c %Y -- "$file") < now - value)) ;;
                N) (($(stat -c %Z -- "$file") >= now - value)) ;;
                O) (($(stat -c %Z -- "$file") < now - value)) ;;
            esac || { fail "$file is not as -$option $value asks: $(stat -c 'mode %a, owner %U, group %G, changed %y' -- "$file")"; return; }
        done
    done
}

# --- file systems

check_fs_mount() {
    local points=() sources=() types=() options=() OPTIND=1 option point
    if [[ $1 == /* ]]; then
        points=("$1")
        [[ -z $2 ]] || sources=("$2")
        [[ -z $3 ]] || types=("$3")
        [[ -z $4 ]] || options=("$4")
    else
        while getopts ":0rs:t:o:O:e:E:f:F:" option; do
            case $option in
                0) NONFATAL=1 ;;
                s) sources+=("$OPTARG") ;;
                t) types+=("$OPTARG") ;;
                o) options+=("$OPTARG") ;;
                f | F) points+=("$OPTARG") ;;
                *) ;;
            esac
        done
        shift $((OPTIND - 1))
        points+=("$@")
    fi
    [[ -z $FS_MODE ]] || options+=("/(^|,)$FS_MODE(\$|,)/")
    for point in "${points[@]}"; do
        one_mount "$point" || return 1
    done
}

one_mount() { # reads sources, types, options of its caller
    local source at type how rest found="" each
    while read -r source at type how rest; do
        printf -v at '%b' "$at"
        printf -v source '%b' "$source"
        [[ $at == "$1" ]] && found="$source"$'\t'"$type"$'\t'"$how"
    done < /proc/mounts
    [[ -n $found ]] || { fail "$1 is not mounted"; return; }
    IFS=$'\t' read -r source type how <<< "$found"
    for each in "${sources[@]}"; do mstr "$source" "$each" || { fail "$1 comes from $source, not from $each"; return; }; done
    for each in "${types[@]}"; do mstr "$type" "$each" || { fail "$1 is of type $type, not $each"; return; }; done
    for each in "${options[@]}"; do mstr "$how" "$each" || { fail "$1 is mounted with $how, not $each"; return; }; done
}

check_fs_mount_rw() { FS_MODE=rw check_fs_mount "$@"; }
check_fs_mount_ro() { FS_MODE=ro check_fs_mount "$@"; }

df_of() { # fields, mount point: of this one file system only, so that no other can hang it
    local line
    need df
    line=$(df -k --output="target,$1" -- "$2" 2>/dev/null | tail -n 1)
    [[ -n $line && ${line%% *} == "$2" ]] || unknown "$2 is no file system that df tells of"
    read -r _ DF_1 DF_2 DF_3 <<< "$line"
    [[ $DF_1 == +([0-9]) && $DF_1 -gt 0 ]] || unknown "df knows no size of $2"
}

check_fs_size() {
    local limit
    df_of size "$1"
    if [[ -n $2 ]]; then
        limit=$(to_kib "$2") || { fail "$2 is no size"; return; }
        ((DF_1 >= limit)) || { fail "$1 has $DF_1 kB, fewer than $2"; return; }
    fi
    if [[ -n $3 ]]; then
        limit=$(to_kib "$3") || { fail "$3 is no size"; return; }
        ((DF_1 <= limit)) || fail "$1 has $DF_1 kB, more than $3"
    fi
}

check_fs_free() {
    local limit
    df_of size,avail,pcent "$1"
    if [[ $2 == *% ]]; then
        ((100 - ${DF_3%"%"} >= ${2%"%"})) || fail "$((100 - ${DF_3%"%"})) % of $1 are free, fewer than $2"
    else
        limit=$(to_kib "$2") || { fail "$2 is no size"; return; }
        ((DF_2 >= limit)) || fail "$DF_2 kB of $1 are free, fewer than $2"
    fi
}

check_fs_used() {
    local limit
    df_of size,used,pcent "$1"
    if [[ $2 == *% ]]; then
        ((${DF_3%"%"} < ${2%"%"})) || fail "$DF_3 of $1 are used, the limit is $2"
    else
        limit=$(to_kib "$2") || { fail "$2 is no size"; return; }
        ((DF_2 < limit)) || fail "$DF_2 kB of $1 are used, the limit is $2"
    fi
}

check_fs_inodes() {
    local limit
    df_of itotal "$1"
    if [[ -n $2 ]]; then
        limit=$(to_count "$2") || { fail "$2 is no count"; return; }
        ((DF_1 >= limit)) || { fail "$1 has $DF_1 inodes, fewer than $2"; return; }
    fi
    if [[ -n $3 ]]; then
        limit=$(to_count "$3") || { fail "$3 is no count"; return; }
        ((DF_1 <= limit)) || fail "$1 has $DF_1 inodes, more than $3"
    fi
}

check_fs_ifree() {
    local limit
    df_of itotal,iavail,ipcent "$1"
    if [[ $2 == *% ]]; then
        ((100 - ${DF_3%"%"} >= ${2%"%"})) || fail "$((100 - ${DF_3%"%"})) % of the inodes of $1 are free, fewer than $2"
    else
        limit=$(to_count "$2") || { fail "$2 is no count"; return; }
        ((DF_2 >= limit)) || fail "$DF_2 inodes of $1 are free, fewer than $2"
    fi
}

check_fs_iused() {
    local limit
    df_of itotal,iused,ipcent "$1"
    if [[ $2 == *% ]]; then
        ((${DF_3%"%"} < ${2%"%"})) || fail "$DF_3 of the inodes of $1 are used, the limit is $2"
    else
        limit=$(to_count "$2") || { fail "$2 is no count"; return; }
        ((DF_2 < limit)) || fail "$DF_2 inodes of $1 are used, the limit is $2"
    fi
}

# --- processes

MAX_SYS_UID=${MAX_SYS_UID:-$(awk '
    $1 == "SYS_UID_MAX" { s = $2 } $1 == "UID_MIN" { u = $2 - 1 }
    END { print s ? s : u ? u : 99 }' /etc/login.defs 2>/dev/null || echo 99)}

processes() { # user uid pid ppid %cpu %mem rss vsz seconds-of-cpu args
    need ps
    ps -eo user:32=,uid=,pid=,ppid=,pcpu=,pmem=,rss=,vsz=,cputimes=,args= || unknown "ps failed"
}

user_of() { # a number is resolved
    if [[ $1 == +([0-9]) ]]; then getent passwd "$1" | cut -d: -f1; else printf '%s' "$1"; fi
}

check_ps_service() {
    local OPTIND=1 option user="" daemon="" match="" whole="" inverted="" u uid pid rest args subject
    while getopts ":0fvVSrcsku:d:m:e:E:" option; do
        case $option in
            0) NONFATAL=1 ;; f) whole=1 ;; u) user=$OPTARG ;; d) daemon=$OPTARG ;; m) match=$OPTARG ;;
            s | k | E) inverted=1 ;; *) ;;
        esac
    done
    shift $((OPTIND - 1))
    match=${match:-"*${daemon:-$*}"}
    [[ $user != !* ]] && user=$(user_of "$user")
    while read -r u uid pid _ _ _ _ _ _ args; do
        subject=${args%% *}
        [[ -n $whole ]] && subject=$args
        mstr "$subject" "$match" || continue
        [[ -z $user ]] || mstr "$u" "$user" || continue
        [[ -z $inverted ]] || fail "process $pid of $u runs and ought not to: ${args:0:80}"
        return
    done < <(processes)
    [[ -n $inverted ]] || fail "no process of the service ${*:-$match} runs${user:+ as $user} (looked for $match)"
}

check_ps_daemon() { # command [owner] [args]
    local u args
    while read -r u _ _ _ _ _ _ _ _ args; do
        # shellcheck disable=SC2053
        [[ $args == *$1${3:+ $3}* && (-z $2 || $u == "$2") ]] && return 0
    done < <(processes | grep -v "^[^ ]* *[0-9]* *$$ ")
    fail "no process $1 runs"
}

check_ps_blacklist() {
    local u pid args
    while read -r u _ pid _ _ _ _ _ _ args; do
        # shellcheck disable=SC2053
        [[ $args == *$1${3:+ $3}* ]] || continue
        [[ $pid != "$$" ]] || continue
        [[ -z $2 ]] || mstr "$u" "$2" || continue
        fail "process $pid of $u runs and ought not to: ${args:0:80}"
        return
    done < <(processes)
}

each_process() { # which resource, then the options and the limit of a check_ps_* of resources
    local what=$1 OPTIND=1 option system="" whole="" match="*" user="" limit found
    shift
    while getopts ":0aAflskKm:u:e:r:" option; do
        case $option in
            0) NONFATAL=1 ;; A) system=1 ;; f) whole=1 ;; m) match=$OPTARG ;; u) user=$OPTARG ;; *) ;;
        esac
    done
    shift $((OPTIND - 1))
    local u uid pid ppid cpu mem rss vsz seconds args subject
    case $what in
        cpu) limit=${1%"%"} ;;
        mem) limit=$(to_kib "$1") || { fail "$1 is no size"; return; } ;;
        physmem) if [[ $1 == *% ]]; then what=share limit=${1%"%"}; else limit=$(to_kib "$1") || { fail "$1 is no size"; return; }; fi ;;
        time)
            [[ $1 =~ ^(([0-9]+)m)?(([0-9]+)s?)?$ ]] || { fail "$1 is no time"; return; }
            limit=$((${BASH_REMATCH[2]:-0} * 60 + ${BASH_REMATCH[4]:-0})) ;;
    esac
    [[ $limit == +([0-9]) ]] || { fail "$1 is no limit"; return; }
    [[ $user != !* && -n $user ]] && user=$(user_of "$user")
    while read -r u uid pid ppid cpu mem rss vsz seconds args; do
        [[ -n $system || $uid -gt $MAX_SYS_UID ]] || continue
        subject=${args%% *}
        [[ -n $whole ]] && subject=$args
        mstr "$subject" "$match" || continue
        [[ -z $user ]] || mstr "$u" "$user" || continue
        case $what in
            cpu) found=${cpu%%.*} ;; mem) found=$vsz ;; physmem) found=$rss ;;
            share) found=${mem%%.*} ;; time) found=$seconds ;;
        esac
        ((found < limit)) || { fail "process $pid of $u is at $found, the limit is $1: ${args:0:80}"; return; }
    done < <(processes)
}

check_ps_cpu() { each_process cpu "$@"; }
check_ps_mem() { each_process mem "$@"; }
check_ps_physmem() { each_process physmem "$@"; }
check_ps_time() { each_process time "$@"; }

check_ps_loadavg() {
    local load minutes=(1 5 15) index
    read -r -a load < /proc/loadavg
    for index in 0 1 2; do
        shift_limit=${1-}
        if [[ -n $shift_limit ]]; then
            [[ $shift_limit == ?(-)+([0-9]) ]] || unknown "$shift_limit is no whole number, and so no limit"
            ((${load[index]%%.*} < shift_limit)) || { fail "the load of ${minutes[index]} min is ${load[index]}, the limit is $shift_limit"; return; }
        fi
        (($# == 0)) || shift
    done
}

check_ps_kswapd() {
    local seconds args most="" least=""
    while read -r _ _ _ _ _ _ _ _ seconds args; do
        [[ $args == *kswapd* ]] || continue
        [[ -n $most && $most -ge $seconds ]] || most=$seconds
        [[ -n $least && $least -le $seconds ]] || least=$seconds
    done < <(processes)
    [[ -n $most ]] || return 0
    [[ $3 != ignore ]] || return 0
    acting "${@:3}"
    ((most <= $1)) || { fail "kswapd has used $most s of cpu, the limit is $1"; return; }
    if ((least == 0)); then
        ((most * 2 <= $1)) || fail "one kswapd has used $most s of cpu, another none"
    else
        ((most <= least * $2)) || fail "one kswapd has used $most s of cpu, another $least"
    fi
}

acting() { # the actions: without `die` a find is only told of
    local action
    (($#)) || return 0
    for action in "$@"; do [[ $action != die ]] || return 0; done
    NONFATAL=1
}

who_may() { # users with a job here, and those who always may
    local users
    printf '%s\n' ${NHC_AUTH_USERS:-root nobody}
    if [[ -n ${SQUEUE_CMD:-$(type -P squeue)} ]]; then
        users=$(${SQUEUE_CMD:-squeue} -w "$HOSTNAME_S" -h -o %u 2>/dev/null) || unknown "squeue does not tell whose jobs run here"
        printf '%s\n' "$users"
    else
        unknown "there is no squeue, so nobody knows whose jobs run here"
    fi
}

user_options() { # -c -u -n -p, then actions; sets SKIP_* and the actions
    local OPTIND=1 option
    SKIP_C="" SKIP_U="" SKIP_N="" SKIP_P=""
    while getopts ":c:u:n:p:" option; do
        case $option in
            c) SKIP_C="$SKIP_C $OPTARG" ;; u) SKIP_U="$SKIP_U $OPTARG" ;;
            n) SKIP_N="$SKIP_N $OPTARG" ;; p) SKIP_P="$SKIP_P $OPTARG" ;; *) ;;
        esac
    done
    shift $((OPTIND - 1))
    acting "$@"
}

listed() { [[ " ${2//,/ } " == *" $1 "* ]]; }

check_ps_unauth_users() {
    user_options "$@"
    local allowed u uid pid args
    allowed=$(who_may) || return 1
    while read -r u uid pid _ _ _ _ _ _ args; do
        ((uid > MAX_SYS_UID)) || continue
        listed "$u" "${allowed//$'\n'/ } $SKIP_N" && continue
        listed "$uid" "$SKIP_U" || listed "$pid" "$SKIP_P" || listed "${args%% *}" "$SKIP_C" && continue
        fail "process $pid of $u, who has no job here: ${args:0:80}"
        return
    done < <(processes)
}

check_ps_userproc_lineage() {
    user_options "$@"
    local match=${RM_DAEMON_MATCH:-/slurmstepd/} u uid pid ppid args up
    local -A parent=() line=() owner=() number=()
    while read -r u uid pid ppid _ _ _ _ _ args; do
        parent[$pid]=$ppid line[$pid]=$args owner[$pid]=$u number[$pid]=$uid
    done < <(processes)
    for pid in "${!parent[@]}"; do
        ((number[$pid] > MAX_SYS_UID)) || continue
        listed "${owner[$pid]}" "${NHC_AUTH_USERS:-root nobody} $SKIP_N" && continue
        listed "${number[$pid]}" "$SKIP_U" || listed "$pid" "$SKIP_P" && continue
        up=$pid
        while [[ -n $up && $up != 0 ]]; do
            mstr "${line[$up]}" "$match" && continue 2
            up=${parent[$up]-}
        done
        fail "process $pid of ${owner[$pid]} is none of the scheduler's: ${line[$pid]:0:80}"
        return
    done
}

# --- commands

check_cmd_output() {
    local OPTIND=1 option seconds=5 code=0 message="" run=() output status
    MATCH=()
    while getopts ":t:r:m:M:C:O:e:" option; do
        case $option in
            t) seconds=$OPTARG ;; r) code=$OPTARG ;; m) MATCH+=("$OPTARG") ;; M) message=$OPTARG ;;
            e) read -r -a run <<< "$OPTARG" ;; *) ;;
        esac
    done
    shift $((OPTIND - 1))
    ((${#run[@]})) || run=("$@")
    ((${#run[@]})) || { fail "there is no command to run"; return; }
    ((seconds <= 7)) || seconds=7 # what hpcdoctor gives a program
    type -P "${run[0]}" >/dev/null || type -t "${run[0]}" >/dev/null || unknown "there is no program ${run[0]} here"
    output=$(timeout "$seconds" "${run[@]}" 2>/dev/null)
    status=$?
    ((status != 124)) || unknown "${run[0]} gave no answer within $seconds s"
    # Empty lines are dropped, and one is added at the end.
    hold_against < <(grep -v '^$' <<< "$output"; echo) || { fail "${message:-${run[0]}: $WRONG}"; return; }
    ((status == code)) || fail "${message:-${run[0]} ended with $status, not $code}"
}

check_cmd_status() {
    local OPTIND=1 option seconds=5 code=0 status
    while getopts ":t:r:" option; do
        case $option in t) seconds=$OPTARG ;; r) code=$OPTARG ;; *) ;; esac
    done
    shift $((OPTIND - 1))
    ((seconds <= 7)) || seconds=7
    (($#)) || { fail "there is no command to run"; return; }
    type -P "$1" >/dev/null || unknown "there is no program $1 here"
    timeout "$seconds" "$@" >/dev/null 2>&1
    status=$?
    ((status != 124)) || unknown "$1 gave no answer within $seconds s"
    ((status == code)) || fail "$1 ended with $status, not $code"
}

check_cmd_dmesg() { check_cmd_output "$@" dmesg; }

# --- network

check_net_ping() {
    local OPTIND=1 option options=(-n -q -c 1 -t 2) deadline=1 target
    need ping
    while getopts ":I:W:c:i:s:t:w:" option; do
        case $option in w) deadline=$OPTARG ;; *) options+=("-$option" "$OPTARG") ;; esac
    done
    shift $((OPTIND - 1))
    ((deadline <= 6)) || deadline=6
    for target in "$@"; do
        ping "${options[@]}" -w "$deadline" -- "$target" >/dev/null 2>&1
        case $? in
            0) ;;
            1) fail "$target does not answer"; return ;;
            *) unknown "ping cannot ask $target" ;;
        esac
    done
}

check_net_socket() {
    local OPTIND=1 option inverted="" name="" proto="" state="" near="" far="" kind="" user="" daemon=""
    need ss
    local args=() word
    for word in "$@"; do if [[ $word == -! ]]; then inverted=1; else args+=("$word"); fi; done
    set -- "${args[@]}"
    while getopts ":0an:p:s:l:r:t:u:d:e:E:" option; do
        case $option in
            0) NONFATAL=1 ;; n) name=$OPTARG ;; p) proto=$OPTARG ;; s) state=$OPTARG ;; l) near=$OPTARG ;;
            r) far=$OPTARG ;; t) kind=$OPTARG ;; u) user=$OPTARG ;; d) daemon=$OPTARG ;; *) ;;
        esac
    done
    local family found="" k st _r _s l r rest program out
    out=$(ss -Hanpe -A inet,unix 2>/dev/null) || unknown "ss tells nothing here"
    while read -r k st _r _s l r rest; do
        if [[ $k == u_* ]]; then
            l="$l $r" family=unix
        else
            family=$k
            [[ $l == \[* || $l == \** ]] && family=${k}6
            l=${l/#\[::\]:/:::} l=${l/#\*:/:::} r=${r/#\[::\]:/:::} r=${r/#\*:/:::}
            [[ -z $proto || $family == "$proto" || $k == "$proto" ]] || mstr "$family" "$proto" || continue
        fi
        [[ $st == ESTAB ]] && st=ESTABLISHED
        [[ -z $proto ]] || mstr "$family" "$proto" || continue
        [[ -z $state ]] || mstr "$st" "$state" || continue
        [[ -z $near ]] || mstr "$l" "$near" || continue
        [[ -z $far ]] || mstr "$r" "$far" || continue
        program=""
        [[ $rest =~ users:\(\(\"([^\"]*)\" ]] && program=${BASH_REMATCH[1]}
        [[ -z $daemon ]] || mstr "$program" "$daemon" || continue
        if [[ -n $user ]]; then
            local uid=0
            [[ $rest =~ uid:([0-9]+) ]] && uid=${BASH_REMATCH[1]}
            mstr "$(user_of "$uid")" "$user" || continue
        fi
        found="$family $st $l"
        break
    done <<< "$out"
    if [[ -n $inverted ]]; then
        [[ -z $found ]] || fail "there is a socket ${name:+$name }that ought not to be: $found"
    else
        [[ -n $found ]] || fail "no socket ${name:+$name }matches ${proto:+$proto }${state:+$state }$near$far$daemon"
    fi
}

# --- GPUs, Moab

check_nvsmi_healthmon() {
    local program=${NVIDIA_SMI_HEALTHMON:-nvidia-smi} status
    need "$program"
    timeout 7 "$program" ${NVIDIA_SMI_HEALTHMON_ARGS-} >/dev/null 2>&1
    status=$?
    case $status in
        0) ;;
        124) unknown "nvidia-smi gave no answer within 7 s" ;;
        4) fail "nvidia-smi: no permission" ;;
        8) fail "nvidia-smi: a GPU has no power" ;;
        9) fail "nvidia-smi: the driver is not loaded" ;;
        10) fail "nvidia-smi: interrupt trouble of a GPU" ;;
        12) fail "nvidia-smi: the library is not found" ;;
        14) fail "nvidia-smi: the infoROM is damaged" ;;
        15) fail "nvidia-smi: a GPU has fallen off the bus" ;;
        *) fail "nvidia-smi ended with $status" ;;
    esac
}

check_nv_healthmon() {
    need "${NVIDIA_HEALTHMON:-nvidia-healthmon}"
    timeout 7 "${NVIDIA_HEALTHMON:-nvidia-healthmon}" ${NVIDIA_HEALTHMON_ARGS--e -v} >/dev/null 2>&1 || fail "nvidia-healthmon ended with $?"
}

moab() { # program and arguments after --; the options of a check_moab_* before it
    local OPTIND=1 option match=""
    while getopts ":t:a:m:v:" option; do
        case $option in m) match=$OPTARG ;; *) ;; esac
    done
    while [[ $1 != -- ]]; do shift; done
    shift
    need "$1"
    MATCH=("${match:-*}")
    hold_against < <(timeout 7 "$@" 2>/dev/null) || fail "$1: $WRONG"
}

check_moab_sched() { moab "$@" -- "${MDIAG_CMD:-mdiag}" -S -v; }
check_moab_rm() { moab -m '*State: Active*' "$@" -- "${MDIAG_CMD:-mdiag}" -R -v; }
check_moab_torque() { moab -m '*scheduling = True*' "$@" -- qmgr -c 'print server'; }
