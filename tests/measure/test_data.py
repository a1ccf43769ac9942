"""The data that are moved: as the host computes them, different everywhere, and not compressible."""

from __future__ import annotations

import struct
import zlib

import pytest

from gpubench.devices.base import Device, Launch
from gpubench.kernels.programs import Programs

COUNT = 1 << 14
MASK = 0xFFFFFFFF


def mix(x: int) -> int:
    x ^= x >> 16
    x = x * 0x7FEB352D & MASK
    x ^= x >> 15
    x = x * 0x846CA68B & MASK
    return x ^ (x >> 16)


def hashed(index: int, salt: int) -> int:
    return mix((index & MASK) ^ mix((index >> 32) ^ salt))


def filled(device: Device, kernel: str, dtype: str, first: int, salt: int) -> list[int]:
    word_bytes = struct.calcsize("=" + {"float": "f", "double": "d"}[dtype])
    memory = device.allocate(COUNT * word_bytes)
    view = memory.view(0, COUNT * word_bytes)
    program = Programs(device).verify(dtype, group_size=1)
    device.run([Launch(program.kernel(kernel), 5, 1, (view, COUNT, first, salt))])
    words = device.read_words(view, COUNT, word_bytes)
    memory.release()
    return words


@pytest.mark.parametrize("first", [0, 12345, (1 << 32) - 100])
def test_words_are_the_hash_that_the_host_computes(device: Device, first: int) -> None:
    assert filled(device, "fill_words", "float", first, 99) == [hashed(first + i, 99) for i in range(COUNT)]
    assert filled(device, "fill_words", "double", first, 99) == [
        hashed(2 * (first + i) + 1, 99) << 32 | hashed(2 * (first + i), 99) for i in range(COUNT)
    ]


@pytest.mark.parametrize(("dtype", "code"), [("float", "f"), ("double", "d")])
def test_elements_lie_from_1_up_to_2_and_differ(device: Device, dtype: str, code: str) -> None:
    words = filled(device, "fill_elements", dtype, 0, 1)
    raw = struct.pack(f"={COUNT}{code.replace('f', 'I').replace('d', 'Q')}", *words)
    values = struct.unpack(f"={COUNT}{code}", raw)
    assert all(1 <= value < 2 for value in values)
    assert len(set(values)) > COUNT * 0.99
    assert 1.49 < sum(values) / COUNT < 1.51
    # Nothing but the sign and the exponent, 9 of 32 or 12 of 64 bits, is left to squeeze.
    assert len(zlib.compress(raw, 9)) > 0.75 * len(raw)


def test_another_salt_gives_other_data(device: Device) -> None:
    one, other = (filled(device, "fill_words", "double", 0, salt) for salt in (1, 2))
    assert not set(one) & set(other)
