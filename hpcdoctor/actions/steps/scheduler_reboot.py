"""Have the scheduler reboot this machine, by the site's own program, and wait until that ends us.

For sites whose RebootProgram does more than a reboot: a power cycle through the BMC, a new image.
The node comes back DOWN under our reason, and its daemon drains it anew before it is verified.
"""

import time

from hpcdoctor.actions.steps import StepFailed, World


def run(world: World) -> None:
    if world.reboot_by_scheduler is None:
        raise StepFailed("there is no scheduler that could reboot this machine")
    said = world.reboot_by_scheduler()
    time.sleep(world.timeout_seconds)
    raise StepFailed(f"the machine is still up {world.timeout_seconds:g} s later; {said}")
