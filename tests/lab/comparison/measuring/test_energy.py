"""Energy counters: that start anew, that are closed, that no driver or library gives."""

import sys

import pytest
import torch

from softprompt.lab.comparison.measuring.energy import Nvml, Rapl
from softprompt.lab.comparison.measuring.meter import Meter

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


class Library:
    """Stands in for pynvml: one accelerator, whose counter is set by hand."""

    class NVMLError(Exception):
        """As pynvml has it."""

    def __init__(self, *, uuid: str = "GPU-1a2b", driver: bool = True) -> None:
        self.uuid, self.driver, self.millijoules, self.counts = uuid, driver, 5_000, True

    def nvmlInit(self) -> None:
        if not self.driver:
            raise self.NVMLError("Driver Not Loaded")

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid != self.uuid:
            raise self.NVMLError("Not Found")
        return "handle"

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:
        assert handle == "handle"
        if not self.counts:
            raise self.NVMLError("Not Supported")
        return self.millijoules


def test_energy_of_an_accelerator_and_of_the_processors_where_both_tell(tmp_path):
    library = Library()
    with Meter(CPU, rapl=counters(tmp_path, 100), nvml=Nvml("1a2b", library=library)) as meter:
        library.millijoules += 2_500
        counters(tmp_path, 500_100)
    assert meter.taken.joules == pytest.approx(3.0)


def test_energy_of_an_accelerator_alone_where_the_processors_are_closed(tmp_path):
    library = Library()
    with Meter(CPU, rapl=Rapl(tmp_path), nvml=Nvml("GPU-1a2b", library=library)) as meter:
        library.millijoules += 2_500
    assert meter.taken.joules == pytest.approx(2.5)


@pytest.mark.parametrize("broken", ["driver", "unknown", "unsupported"])
def test_energy_is_unknown_where_the_accelerator_does_not_tell(tmp_path, broken):
    library = Library(driver=broken != "driver", uuid="GPU-other" if broken == "unknown" else "GPU-1a2b")
    library.counts = broken != "unsupported"
    with Meter(CPU, rapl=counters(tmp_path, 100), nvml=Nvml("1a2b", library=library)) as meter:
        counters(tmp_path, 500_100)
    assert meter.taken.joules is None


def test_energy_is_unknown_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert Nvml("1a2b").read() is None


def test_a_processor_has_no_counter_of_an_accelerator():
    assert Nvml.of(CPU) is None
