import os

from hpcdoctor.prober.silence import CpuTimes, Silence, judge_silence, read_cpu_times

BEFORE = CpuTimes("S", 1.0, 1.0)


def test_who_waits_in_the_kernel_is_stuck() -> None:
    assert judge_silence(BEFORE, CpuTimes("D", 1.0, 1.0), 10) is Silence.STUCK
    assert judge_silence(BEFORE, CpuTimes("S", 1.1, 1.2), 10) is Silence.STUCK


def test_who_stood_in_the_queue_most_of_the_time_is_starved() -> None:
    assert judge_silence(BEFORE, CpuTimes("S", 1.5, 6.0), 10) is Silence.STARVED
    assert judge_silence(BEFORE, CpuTimes("S", 1.5, 5.9), 10) is Silence.STUCK


def test_who_still_stands_in_the_queue_is_starved_though_it_is_not_booked_yet() -> None:
    assert judge_silence(BEFORE, CpuTimes("R", 1.2, 1.0), 10) is Silence.STARVED


def test_who_computes_all_the_time_is_stuck() -> None:
    assert judge_silence(BEFORE, CpuTimes("R", 10.5, 1.3), 10) is Silence.STUCK


def test_who_was_stopped_is_stuck_however_long_it_stood_in_a_queue() -> None:
    assert judge_silence(BEFORE, CpuTimes("T", 1.0, 9.0), 10) is Silence.STUCK


def test_without_the_kernels_books_only_the_state_tells() -> None:
    unknown = CpuTimes("S", None, None)
    assert judge_silence(unknown, CpuTimes("R", None, None), 10) is Silence.STARVED
    assert judge_silence(unknown, CpuTimes("D", None, None), 10) is Silence.STUCK


def test_the_kernel_is_asked_for_a_real_process() -> None:
    times = read_cpu_times(os.getpid())
    assert times.state == "R"


def test_a_process_that_is_not_there_has_no_times() -> None:
    assert read_cpu_times(2**22 + 1) == CpuTimes("?", None, None)
