"""What work takes: time, memory, energy from counters that may start anew or be closed."""

import time

import pytest
import torch

from softprompt.lab.comparison.meter import EVERY, Meter, Rapl

CPU = torch.device("cpu")


def counters(root, *values, most=1_000_000):
    for n, value in enumerate(values):
        for name in (f"intel-rapl:{n}", f"intel-rapl:{n}:0"):
            folder = root / "sys/class/powercap" / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "energy_uj").write_text(f"{value}\n")
            (folder / "max_energy_range_uj").write_text(f"{most}\n")
    return Rapl(root)


def test_energy_is_that_of_the_sockets_and_parts_count_once(tmp_path):
    rapl = counters(tmp_path, 100, 200)
    with Meter(CPU, rapl=rapl) as meter:
        counters(tmp_path, 500_100, 700_200)
    assert meter.taken.joules == pytest.approx(1.2)


def test_a_counter_that_starts_anew(tmp_path):
    rapl = counters(tmp_path, 900_000)
    first = rapl.read()
    assert Rapl.between(first, counters(tmp_path, 100_000).read()) == pytest.approx(0.2)


def test_without_readable_counters_energy_is_unknown(tmp_path):
    with Meter(CPU, rapl=Rapl(tmp_path)) as meter:
        pass
    assert meter.taken.joules is None
    broken = counters(tmp_path, 1)
    (tmp_path / "sys/class/powercap/intel-rapl:0/energy_uj").unlink()
    assert broken.read() is None


def test_time_and_memory_of_what_is_gone_again():
    with Meter(CPU) as meter:
        block = bytearray(64 << 20)
        time.sleep(5 * EVERY)
        del block
    assert meter.taken.seconds >= 5 * EVERY
    assert meter.taken.peak_bytes >= 48 << 20


def test_an_error_ends_the_measurement_and_goes_on():
    meter = Meter(CPU)
    with pytest.raises(ZeroDivisionError), meter:
        _ = 1 / 0
    assert meter.taken.seconds > 0
