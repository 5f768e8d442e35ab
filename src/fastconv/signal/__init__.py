"""The convolutions of `scipy.signal`: its names, arguments, defaults, dtypes and answers."""

from fastconv.shown import shows
from fastconv.signal.convolution import choose_conv_method, convolve, correlate, correlation_lags
from fastconv.signal.fourier import fftconvolve, oaconvolve
from fastconv.signal.planes import convolve2d, correlate2d, sepfir2d

__all__ = [
    "choose_conv_method",
    "convolve",
    "convolve2d",
    "correlate",
    "correlate2d",
    "correlation_lags",
    "fftconvolve",
    "oaconvolve",
    "sepfir2d",
]
__dir__ = shows(__name__)
