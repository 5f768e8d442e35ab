"""What the tests of gradients share: a convolution case with its exact gradients, and directional derivatives."""

import functools

import numpy as np

import fastconv
from checks import FAST, assert_close, eps, guarded, normal, plane_maximum, to_layout, weight_to_layout
from fastconv.bench.oracle.definitions import FORWARD, GRADIENTS


class SolvedGradient:
    """A convolution case with data, its exact gradients, and `bounds`: the same sums of magnitudes."""

    def __init__(self, operation, case):
        self.operation, self.options = operation, dict(case.options)
        self.x = normal(case.x)
        self.weights = [normal(shape, seed=1 + i) for i, shape in enumerate(case.weights)]
        result = FORWARD[operation](self.x, *self.weights, **self.options)
        self.grad_output = normal(result.shape, seed=7)
        exact = GRADIENTS[operation](self.x, *self.weights, self.grad_output, **self.options)
        self.expected, self.bounds = zip(*(gradient.everywhere() for gradient in exact), strict=True)

    def arguments(self, layout, dtype):
        x, grad_output = (guarded(to_layout(a, layout).astype(dtype)) for a in (self.x, self.grad_output))
        weights = [guarded(weight_to_layout(weight, layout).astype(dtype)) for weight in self.weights]
        return x, *weights, grad_output

    def run(self, layout, dtype, **options):
        """All gradients together."""
        function = getattr(fastconv.grad, self.operation)
        return function(*self.arguments(layout, dtype), layout=layout, **self.options, **options)

    def run_one_by_one(self, layout, dtype, **options):
        x, weight, grad_output = self.arguments(layout, dtype)
        of_input, of_weight = (
            getattr(fastconv.grad, f"{self.operation}_{part}") for part in ("input", "weight")
        )
        options |= {"layout": layout, **self.options}
        return (
            of_input(x.shape, weight, grad_output, **options),
            of_weight(x, weight.shape, grad_output, **options),
            fastconv.grad.conv2d_bias(grad_output, layout=layout),
        )

    def compare(self, gradients, layout, dtype, factor=FAST):
        assert len(gradients) == len(self.expected)
        convert = (to_layout, *(weight_to_layout for _ in self.weights), lambda array, layout: array)
        if self.operation == "separable_conv2d":
            factor *= 2  # two convolutions, one after the other
        for actual, expected, bound, place in zip(
            gradients, self.expected, self.bounds, convert, strict=True
        ):
            spread = plane_maximum(bound) if bound.ndim == 4 else bound
            tolerance = np.broadcast_to(factor * eps(dtype) * spread, bound.shape)
            assert_close(actual, place(expected, layout), place(tolerance, layout), dtype)

    def check(self, layout, dtype, factor=FAST, **options):
        self.compare(self.run(layout, dtype, **options), layout, dtype, factor)

    def check_one_by_one(self, layout, dtype, factor=FAST):
        self.compare(self.run_one_by_one(layout, dtype), layout, dtype, factor)


solved_gradient = functools.lru_cache(maxsize=512)(SolvedGradient)


def check_directions(forward, arrays, gradients, grad_output, step=1e-6, rtol=1e-7):
    """Central differences in float64: <gradient, d> is the derivative of <forward(arrays), grad_output> along d."""
    for position, gradient in enumerate(gradients):
        if gradient is None:
            continue
        array = arrays[position]
        assert gradient.shape == array.shape
        for seed in range(3):
            direction = normal(array.shape, seed=100 + seed)
            ends = [
                (forward(*(a + s * step * direction if i == position else a for i, a in enumerate(arrays)))
                 * grad_output)
                for s in (1, -1)
            ]  # fmt: skip
            expected = (ends[0] - ends[1]).sum() / (2 * step)
            scale = np.abs(gradient * direction).sum() + (np.abs(ends[0]) + np.abs(ends[1])).sum()
            assert abs((gradient * direction).sum() - expected) <= rtol * scale, (position, seed)
