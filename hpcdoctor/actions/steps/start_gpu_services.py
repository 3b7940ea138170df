"""Start again what `stop-gpu-services` has stopped, in the opposite order."""

from hpcdoctor.actions.steps import StepFailed, World


def run(world: World) -> None:
    failed = []
    while world.stopped:
        unit = world.stopped.pop()
        try:
            world.run("systemctl", "start", unit)
        except StepFailed as error:
            failed.append(f"{unit}: {error}")
    if failed:
        raise StepFailed("; ".join(failed))
