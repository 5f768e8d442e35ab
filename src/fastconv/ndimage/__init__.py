"""The filters and the grey morphology of `scipy.ndimage`: its names, arguments, defaults, dtypes and answers."""

from fastconv.ndimage.derivatives import generic_gradient_magnitude, generic_laplace, laplace, prewitt, sobel
from fastconv.ndimage.extrema import maximum_filter, maximum_filter1d, minimum_filter, minimum_filter1d
from fastconv.ndimage.gaussian import (
    gaussian_filter,
    gaussian_filter1d,
    gaussian_gradient_magnitude,
    gaussian_laplace,
)
from fastconv.ndimage.linear import convolve, convolve1d, correlate, correlate1d
from fastconv.ndimage.means import uniform_filter, uniform_filter1d
from fastconv.ndimage.morphology import (
    black_tophat,
    grey_closing,
    grey_dilation,
    grey_erosion,
    grey_opening,
    morphological_gradient,
    morphological_laplace,
    white_tophat,
)
from fastconv.ndimage.ranks import median_filter, percentile_filter, rank_filter
from fastconv.ndimage.templates import match_template
from fastconv.shown import shows

__all__ = [
    "black_tophat",
    "convolve",
    "convolve1d",
    "correlate",
    "correlate1d",
    "gaussian_filter",
    "gaussian_filter1d",
    "gaussian_gradient_magnitude",
    "gaussian_laplace",
    "generic_gradient_magnitude",
    "generic_laplace",
    "grey_closing",
    "grey_dilation",
    "grey_erosion",
    "grey_opening",
    "laplace",
    "match_template",
    "maximum_filter",
    "maximum_filter1d",
    "median_filter",
    "minimum_filter",
    "minimum_filter1d",
    "morphological_gradient",
    "morphological_laplace",
    "percentile_filter",
    "prewitt",
    "rank_filter",
    "sobel",
    "uniform_filter",
    "uniform_filter1d",
    "white_tophat",
]
__dir__ = shows(__name__)
