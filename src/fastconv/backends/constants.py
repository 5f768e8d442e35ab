"""Numbers that activations and their slopes are computed with in float64, for the backends that are written in Python.

The compiled one has the same in `csrc/base/exponential.h`. The polynomials of the normal distribution have the least
largest relative error (Remez) for distances ``t`` from 0 of up to 37.9: they are polynomials of
``2 t / (t + POLE) - 1``, with coefficients from the highest on.
"""

from __future__ import annotations

POLE = 5.0
MOST = 40.0  # beyond, the density is 0
# Of such numbers, t plus this and minus it is t in as few bits as have an exact square.
UPPER_BITS = 1.5 * 2**32


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(map(float.fromhex, text.split()))


# (t + POLE) exp(t^2 / 2) erfc(t / sqrt 2) / 2
SHARE = _numbers(
    """
    -0x1.37aafa273a1ap-32 0x1.9791d3c0da426p-30 0x1.1045713e8384ep-27 -0x1.21e9375a60f97p-27
    -0x1.1bb2f3abd8b5cp-24 0x1.609ef8a2bc185p-25 0x1.d0e76d9b761fap-22 -0x1.68668165e6d6bp-22
    -0x1.73a71ae075eebp-19 0x1.0b1f40a1a0877p-18 0x1.17dcad68c3d89p-16 -0x1.a17082e6ebf84p-15
    -0x1.f2144fb9bea93p-15 0x1.1daf1c4846c5ep-11 -0x1.a250380e7c54dp-11 -0x1.88590ea2f54cap-9
    0x1.54b4d4f4ef2c2p-6 -0x1.1b1c254c9e9bdp-4 0x1.51f6329f012cdp-3 -0x1.410ed5f8759e7p-2
    0x1.fb31653876f9dp-2 -0x1.54ad03f27ca17p-1 0x1.89d3abe1f95aep-1
    """
)
# (exp(t^2 / 2) erfc(t / sqrt 2) / 2 - t / sqrt(2 pi)) / (z - t), where z, the sum of ZERO, is where that is 0
SLOPE = _numbers(
    """
    -0x1.d08f855456025p-36 -0x1.0a8d5ec1f8843p-39 0x1.bb5bc64c169adp-32 0x1.1da7385e7e7b4p-32
    -0x1.ad9b79030234fp-29 -0x1.4f6994a2c49e5p-29 0x1.7ba9210490f91p-26 0x1.ac83296cbff7cp-27
    -0x1.6ad896301306cp-23 0x1.6f9acf217ad06p-26 0x1.6d230fb9ce6a1p-20 -0x1.0b75c4876d8d5p-19
    -0x1.34bd9b7fd8d32p-17 0x1.54f8b4fe8d3cp-15 -0x1.fde2ab9c10606p-17 -0x1.cdee09d1565a7p-12
    0x1.2dc07799aac0ep-9 -0x1.e0a9519472fc2p-8 0x1.23c375899307cp-6 -0x1.231a8d123844cp-5
    0x1.ef8423a0a745dp-5 -0x1.6fce89f8d2b96p-4 0x1.ce451b41a3bap-2
    """
)
ZERO = _numbers("0x1.80ead197f00b4p-1 -0x1.13e74c58cada8p-56")

# The slope of silu is 0 at z = -1 - k, where exp(z) = k: z as a sum; k; log(k) as a sum whose
# difference from x near there has all its digits.
SILU_ZERO = _numbers("-0x1.474973c84120bp+0 -0x1p-53")
SILU_AT_ZERO = float.fromhex("0x1.1d25cf210482ep-2")
SILU_LOG = _numbers("-0x1.47497p+0 -0x1.e420905bbe43bp-23 0x1.4f54a006171fbp-77")
