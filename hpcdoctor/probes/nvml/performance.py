"""What does one GPU say of its speed? Why its clocks are down, how hot it is, what it may draw."""

from hpcdoctor.probes.nvml.session import Asker, Values

MEMORY_TEMPERATURE = 82  # field ids
SHUTDOWN_MARGIN, SLOWDOWN_MARGIN = 193, 194
RECOVERY_ACTION = 230
POWER_POLICY, THERMAL_POLICY = 0, 1

IDLE = 0x1
SOFTWARE_POWER_CAP = 0x4
HARDWARE_SLOWDOWN = 0x8  # set together with one of the last two: never counted beside them
SOFTWARE_THERMAL = 0x20
HARDWARE_THERMAL = 0x40
POWER_BRAKE = 0x80
THERMAL = SOFTWARE_THERMAL | HARDWARE_THERMAL

RECOVERY_ACTIONS = [
    "none",
    "GPU reset",
    "node reboot",
    "drain P2P",
    "drain and reset",
    "recover IMEX domain",
    "bus reset",
    "system reboot",
]


def clocks(asker: Asker, values: Values) -> None:
    mask = asker.ask("GetCurrentClocksEventReasons")
    if mask is None:
        mask = asker.ask("GetCurrentClocksThrottleReasons")  # its name before driver 535
    if mask is not None:
        values["clock_reasons"] = mask
        values["idle"] = bool(mask & IDLE)
        values["sw_power_cap"] = bool(mask & SOFTWARE_POWER_CAP)
        values["hw_slowdown"] = bool(mask & HARDWARE_SLOWDOWN)
        values["sw_thermal_slowdown"] = bool(mask & SOFTWARE_THERMAL)
        values["hw_thermal_slowdown"] = bool(mask & HARDWARE_THERMAL)
        values["hw_power_brake"] = bool(mask & POWER_BRAKE)
    # Not the fields 269 to 271, which say it by reason: they were 251 to 253 in driver 570, where
    # those numbers mean something else today.
    for field, policy in (
        ("thermal_violation_seconds_total", THERMAL_POLICY),
        ("power_violation_seconds_total", POWER_POLICY),
    ):
        violation = asker.ask("GetViolationStatus", policy)
        if violation is not None:
            values[field] = violation.violationTime / 1e9


def heat(asker: Asker, values: Values) -> None:
    temperature = asker.ask("GetTemperatureV", 0)
    if temperature is None:
        temperature = asker.ask("GetTemperature", 0)  # goes away with CUDA 14
    values["temperature_celsius"] = temperature
    margin = asker.ask("GetMarginTemperature")
    if margin is not None and margin <= 0 and not values.get("clock_reasons", THERMAL) & THERMAL:
        margin = None  # some that do not have it answer 0 or less, H100 among them
    values["margin_celsius"] = margin


def power(asker: Asker, values: Values) -> None:
    for field, name in (
        ("power_watts", "GetPowerUsage"),
        ("power_limit_watts", "GetEnforcedPowerLimit"),
        ("power_default_limit_watts", "GetPowerManagementDefaultLimit"),
    ):
        milliwatts = asker.ask(name)
        values[field] = None if milliwatts is None else milliwatts / 1000


def fields(asker: Asker, values: Values) -> None:
    wanted = [MEMORY_TEMPERATURE, SHUTDOWN_MARGIN, SLOWDOWN_MARGIN, RECOVERY_ACTION]
    found = asker.fields([(number, 0) for number in wanted])
    values["memory_temperature_celsius"] = found.get((MEMORY_TEMPERATURE, 0))
    values["margin_at_slowdown_celsius"] = found.get((SLOWDOWN_MARGIN, 0))
    values["margin_at_shutdown_celsius"] = found.get((SHUTDOWN_MARGIN, 0))
    action = found.get((RECOVERY_ACTION, 0))
    if action is not None:
        values["recovery_action"] = action
        known = 0 <= action < len(RECOVERY_ACTIONS)
        values["recovery_action_name"] = RECOVERY_ACTIONS[action] if known else f"{action}"
