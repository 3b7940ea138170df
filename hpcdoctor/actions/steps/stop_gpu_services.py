"""Stop the services that hold GPUs by trade, and remember which ones ran."""

from hpcdoctor.actions.steps import World

UNITS = (
    "nvidia-dcgm.service",
    "dcgm-exporter.service",
    "nvidia-fabricmanager.service",
    "nvidia-persistenced.service",
)


def run(world: World) -> None:
    for unit in UNITS:
        shown = world.run("systemctl", "show", "--property=ActiveState", "--value", unit)
        if shown.strip() in ("active", "activating", "reloading"):
            world.stopped.append(unit)  # before it is stopped: `finally` starts it in any case
            world.run("systemctl", "stop", unit)
