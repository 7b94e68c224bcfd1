"""What work takes: time and memory."""

import time
from platform import libc_ver

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


@pytest.mark.skipif(libc_ver()[0] != "glibc", reason="only glibc can be told to give freed memory back")
def test_memory_that_was_freed_before_hides_nothing():
    def pieces():
        return [bytearray(64 << 10) for _ in range(1500)]  # small enough to stay in the heap

    before = pieces()
    pin = bytearray(64 << 10)  # lies above them, so that freeing them alone does not shrink the heap
    del before
    with Meter(CPU) as meter:
        again = pieces()
    assert meter.taken.peak_bytes >= 64 << 20
    assert again
    assert pin


def test_an_error_ends_the_measurement_and_goes_on():
    meter = Meter(CPU)
    with pytest.raises(ZeroDivisionError), meter:
        _ = 1 / 0
    assert meter.taken.seconds > 0
