"""Is only that taken to look which does nothing else?"""

import pytest

from hpcdoctor.nhc.lookers import ONLY, WRAPPERS
from hpcdoctor.nhc.looks import JUDGES, act_of_words, first_act

ACTS = """\
dd if=/dev/zero of=/dev/sda
wipefs -a /dev/sdb
mkfs.xfs /dev/sdb
parted /dev/sda mklabel gpt
xfs_repair /dev/sda1
truncate -s 0 /var/log/x
tee /etc/x
echo 1 | tee /etc/x
sed -i s/a/b/ /etc/x
sed -n 's/a/b/w /etc/x' /f
sed s/a/reboot/e /f
sed --in-place s/a/b/ /f
chmod 777 /
find /tmp -delete
find /tmp -name x -exec rm {} +
ip link set eth0 down
ip addr add 10.0.0.1/8 dev eth0
curl http://x | sh
curl -o /etc/x http://x
crontab -r
init 0
scancel 1
rm -rf /tmp/x
/bin/rm x
'r'm x
\\rm x
reboot
kill 1
modprobe x
mount /x
mount -a
umount /x
systemctl restart sssd
systemctl is-active sssd || systemctl restart sssd
systemctl --now enable x
true; reboot
true && reboot
true | reboot
true & reboot
(reboot)
{ reboot; }
! reboot
if true; then reboot; fi
if reboot; then true; fi
for x in 1 2; do reboot; done
while reboot; do true; done
echo $(reboot)
echo "$(reboot)"
echo `reboot`
echo "a `reboot` b"
cat <(reboot)
echo ${X:-$(reboot)}
echo $(( $(reboot) + 1 ))
(( $(reboot) ))
X=$(reboot)
[[ $(reboot) == x ]]
echo 1 > /etc/x
echo 1 >> /etc/x
echo 1 >| /etc/x
echo 1 &> /etc/x
echo 1 >& /etc/x
> /etc/x
echo 1 > $F
{ true; } > /etc/x
if true; then true; fi > /etc/x
timeout 5 reboot
timeout -k 1 5 reboot
timeout --signal=9 5 reboot
sudo reboot
sudo -n -u root reboot
env A=1 reboot
nice -n 19 reboot
nice reboot
nohup reboot
exec reboot
command reboot
sudo timeout 3 env X=1 nice reboot
ls | xargs rm
ls | xargs -n 1 sudo rm
bash -c reboot
sh -c 'true; reboot'
bash -c "$X"
bash /x
eval reboot
. /x
source /x
$X
$X /f
"$X" /f
sudo $X
./ls
/tmp/ls
~/ls
awk 'BEGIN { system("reboot") }'
awk '{ print > "/etc/x" }' /f
awk '{ print | "sh" }' /f
awk '{ "reboot" | getline }' /f
awk -f /x
awk -i inplace '{ print }' /f
awk "$X"
sort -o /f /f
sort -no /f /f
sort --output=/f /f
uniq /a /b
dmesg -C
dmesg -n 1
dmesg --clear
date -s 12:00
hostname x
nvidia-smi -r
nvidia-smi --gpu-reset -i 0
nvidia-smi -pm 1
nvidia-smi -q -f /etc/x
scontrol update NodeName=x State=DOWN
scontrol reboot
sysctl -w a=1
sysctl a=1
ss -K dst 1.1.1.1
journalctl --vacuum-time=1s
journalctl --rotate
service sshd restart
swapon /x
LD_PRELOAD=/x.so ls
dd if=$X
mount -t $X
systemctl -p $X status y
export LD_PRELOAD=/x.so; ls
sysctl -p
sysctl -p /etc/x
journalctl --va=1s
sort --co=/x /f
ss --ki
file -C -m /x
sar -o /x 1 1
rpcinfo -d 100003 3
rpm -q --eval '%(reboot)'
ipmitool sel clear
ipmitool sel list clear
dd if=/dev/zero of=/dev/null of=/dev/sda
echo > "/dev/null/../sda"
[ a -lt b ] || { echo x; reboot; }
sed -n '/x/w /etc/p' /f
env -S reboot
env -u X reboot
exec -a x reboot
exec > /etc/x
systemctl -p x restart sshd
date +%s -s 12:00
ls ${X:=`reboot`}
ls "${X:-"$(reboot)"}"
ls $((`reboot`))
case x in x) reboot;; esac
f() { reboot; }; f
ls() { reboot; }; ls
cat << X
check_cmd_status rm -rf /tmp/x
check_cmd_status -t 3 rm /x
check_cmd_status -t3 -r 1 sudo rm /x
check_cmd_output -e "reboot"
check_cmd_output -e reboot
check_cmd_output -m x -e 'rm x' ls
check_cmd_output -m ls reboot
check_cmd_status bash -c 'echo 1 > /etc/x'
/opt/site/sbin/anything
python3 -c 1
touch /x
mkdir /x
ethtool -s eth0 speed 100
find $X
trap reboot EXIT
{reboot,now}
"""

LOOKS = """\
ls '$(reboot)'
systemctl is-active $X
kill -0 $X
nvidia-smi -i "$X" -q
ip link show $X
ls "\\`reboot\\`"
rpm -q slurm
rpm -V slurm
file /dev/sda
journalctl -k -b --since -1h
ipmitool sel elist 10
test ! -e /run/site/maintenance
[ -e /x ] && ! grep -q bad /proc/mounts
[[ -e /x && $(cat /f) =~ ^(a|b)$ ]]
(( $(nproc) > 2 ))
true||false
if [ -e /etc/site ]; then check_hw_eth site0; else true; fi
for x in 1 2; do test -e /dev/nvidia$x || exit 1; done
grep -c processor /proc/cpuinfo | awk '{ exit $1 != 8 }'
awk '$5 > 90 { exit 1 }' /f
awk -F: -v a=1 '$3 == 0 || $4 >= 2 { print $1 }' /etc/passwd
sed -n 1,3p /f
sed -e 's/a/b/g' /f
ls /x > /dev/null 2>&1
ls /x &> /dev/null
ls /x 2>/dev/null >&2
cat < /f
grep x <<< "$Y"
df -h / | tail -1
stat -c %a /etc/passwd
pgrep -x slurmd
systemctl is-active --quiet sssd
systemctl --no-pager -q is-active sssd
systemctl show -p ActiveState sssd
systemctl status sssd
/usr/bin/systemctl is-active $UNIT
nvidia-smi
nvidia-smi -L | wc -l
nvidia-smi --query-gpu=count,ecc.errors.uncorrected.volatile.total --format=csv,noheader -i 0
nvidia-smi -q -d ECC
nvidia-smi topo -m
ibstat | grep -q Active
sinfo -h -n $HOSTNAME_S
scontrol show node x
scontrol -o show node $HOSTNAME_S
mount
mount | grep -q ' /home '
mount -t nfs4
ip link show eth0
ip -br link
ip -o addr show dev eth0
timeout 5 stat /home
timeout -k 1 5 ls /home
sudo -n nvidia-smi
env LC_ALL=C df /
nice -n 19 ls
X=1 ls
echo $(( 2 * $(nproc) ))
command -v mcelog
sh -c 'test -e /x && ls'
kill -0 1
find /tmp -name core -newer /x
sort -n -k 2 /f | uniq -c
ls | xargs -n 1 stat
dmesg | grep -c Xid
dmesg -T
date +%s
hostname -s
dd if=/dev/nvme0n1 of=/dev/null bs=1M count=1
curl -sf -m 3 http://localhost:9100/metrics
check_cmd_status -t 3 -r 1 selinuxenabled
check_cmd_output -t 2 -m '/x/' -e "systemctl is-active sssd"
check_cmd_output -m '/^a || b$/' echo 'a || b'
check_cmd_dmesg -m '!/Xid/'
check_ps_service -r munge
sysctl -n vm.swappiness
lctl get_param -n health_check
"""


@pytest.mark.parametrize("text", ACTS.splitlines())
def test_what_may_act_is_never_taken_to_look(text: str) -> None:
    assert first_act(text) is not None


@pytest.mark.parametrize("text", LOOKS.splitlines())
def test_what_only_looks_is_let_be(text: str) -> None:
    assert first_act(text) is None


def test_a_sites_own_function_is_not_known() -> None:
    found = first_act("check_mine 1", ["check_mine"])
    assert found is not None
    assert "a function of the site's" in found.text


def test_words_without_a_shell_are_judged_as_they_stand() -> None:
    assert act_of_words(["check_cmd_output", "-m", "$(x)", "ls"]) is None
    assert act_of_words(["check_cmd_status", "rm", "x"]) is not None


@pytest.mark.parametrize("program", [*ONLY, *WRAPPERS, *JUDGES])
@pytest.mark.parametrize(
    "piece", ["-", "if=", "-q ", "-i x ", "+", "a=b ", "/dev/x ", "s/a/b/;", '"']
)
def test_no_long_text_holds_the_patterns_up(program: str, piece: str) -> None:
    first_act(f"{program} {piece * (15_000 // len(piece))} !")
