"""Reboot this machine, and wait until that ends us.

Not through Slurm: its own reboot takes the drain with it when the node comes back late, and could
put an unverified node into service. A node that is rebooted while drained stays drained.
"""

import time

from hpcdoctor.actions.steps import StepFailed, World


def run(world: World) -> None:
    world.run("systemctl", "reboot")
    time.sleep(world.timeout_seconds)
    raise StepFailed(
        f"the machine is still up {world.timeout_seconds:g} s after `systemctl reboot`"
    )
