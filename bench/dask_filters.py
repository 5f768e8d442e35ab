"""`fastconv.dask` beside dask-image and `scipy.ndimage` under dask: the ratios of docs/tiles.md, in one run.

    python bench/dask_filters.py [--size 2048] [--chunk 512] [--rounds 3]

Prints a table. All have the same chunks, scheduler (threads) and borders (reflect); each round runs all in turns, and
every result is compared with SciPy's of the whole image, borders included. `fastconv.ndimage.convolve` is the call that
the others have; `conv2d` gets the image with an axis of channels, as arrays of its users have it. The ratios are those
to the faster of the two others.
"""

import argparse
import functools
import time
from statistics import median

import dask
import dask.array as da
import dask_image.ndfilters
import numpy as np
import scipy.ndimage

import fastconv.dask
from fastconv import ndimage


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--chunk", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kernels", default="3,5,7,11,15,31")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    image = rng.random((arguments.size, arguments.size), np.float32)
    chunked = da.from_array(image, chunks=arguments.chunk)
    print(
        f"{arguments.size}x{arguments.size} float32, chunks of {arguments.chunk}, {dask.system.CPU_COUNT} threads"
    )
    print("| kernel | ndimage.convolve | conv2d | scipy.ndimage | dask-image | ratios | tasks a chunk |")
    print("|---|---|---|---|---|---|---|")
    with_channel = da.from_array(image[np.newaxis], chunks=(1, arguments.chunk, arguments.chunk))
    for kernel in map(int, arguments.kernels.split(",")):
        weight = rng.random((kernel, kernel), np.float32)
        weight /= weight.sum()
        half = kernel // 2
        # In SciPy's words "reflect" is what is "symmetric" elsewhere; weights are turned round in a convolution.
        ours = functools.partial(ndimage.convolve, weights=weight, mode="reflect")
        calls = {
            "ndimage": fastconv.dask.apply(ours, chunked),
            "conv2d": fastconv.dask.conv2d(
                with_channel,
                weight[::-1, ::-1][np.newaxis, np.newaxis],
                padding=half,
                padding_mode="symmetric",
            ),
            "scipy": chunked.map_overlap(
                scipy.ndimage.convolve, depth=half, boundary="reflect", weights=weight, meta=chunked._meta
            ),
            "dask-image": dask_image.ndfilters.convolve(chunked, weight, mode="reflect"),
        }
        extra = {name: (len(dask.optimize(lazy)[0].dask) - chunked.npartitions) / chunked.npartitions
                 for name, lazy in calls.items()}  # fmt: skip
        expected = scipy.ndimage.convolve(image, weight, mode="reflect") if kernel <= 7 else None
        seconds = {name: [] for name in calls}
        for number in range(arguments.rounds + 1):
            for name, lazy in calls.items():
                begun = time.perf_counter()
                result = lazy.compute(scheduler="threads")
                if number or kernel > 15:
                    seconds[name].append(time.perf_counter() - begun)
                expected = result if expected is None and name == "scipy" else expected
                if expected is not None:
                    np.testing.assert_allclose(result.squeeze(), expected, rtol=0, atol=2e-5)
            if kernel > 15 and number == arguments.rounds - 1:
                break
        told = {name: median(values) for name, values in seconds.items()}
        rest = min(told["scipy"], told["dask-image"])
        times = " | ".join(f"{1e3 * told[name]:.0f} ms" for name in calls)
        ratios = " / ".join(f"{rest / told[name]:.1f}" for name in ("ndimage", "conv2d"))
        tasks = " / ".join(f"{extra[name]:.1f}" for name in calls)
        print(f"| {kernel}x{kernel} | {times} | {ratios} | {tasks} |", flush=True)


if __name__ == "__main__":
    main()
