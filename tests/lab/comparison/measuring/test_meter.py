"""What work takes: time and memory."""

import time

import pytest
import torch

from softprompt.lab.comparison.measuring.meter import EVERY, Meter

CPU = torch.device("cpu")


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
