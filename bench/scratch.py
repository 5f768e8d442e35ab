"""Measures the textbook's loops of docs/from_scratch.md beside the library's calls, and writes the times into the page.

    python bench/scratch.py

The functions are those of the page. Loops run once; what is fast, until half a second has passed; the time is the
median. The machine should do nothing else.
"""

import re
import statistics
import time
from pathlib import Path

import numpy as np

import fastconv
from fastconv.machine.processor import processor_name

PAGE = Path(__file__).parents[1] / "docs" / "from_scratch.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
PLACE = re.compile(r"(<!-- scratch (\w+) -->\n).*?(<!-- /scratch -->)", re.DOTALL)


def seconds(call):
    """The median time; of what takes long, that of one run."""
    times, start = [], time.perf_counter()
    while not times or (time.perf_counter() - start < 0.5 and len(times) < 1000):
        before = time.perf_counter()
        call()
        times.append(time.perf_counter() - before)
    return statistics.median(times)


def measured(page):
    """For each place of the page what is compared, and its time."""
    known = {}
    for block in BLOCK.findall(page):
        exec(block, known)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 32, 32, 32)).astype(np.float32)
    weight = rng.standard_normal((32, 32, 3, 3)).astype(np.float32)
    bias, grad = weight[:, 0, 0, 0].copy(), x.copy()
    calls = {
        "conv": {
            "loops": lambda: known["conv2d_loops"](x, weight, bias),
            "im2col": lambda: known["conv2d_im2col"](x, weight, bias),
            "`fastconv.conv2d`": lambda: fastconv.conv2d(x, weight, bias, padding=1),
        },
        "gradients": {
            "loops over windows": lambda: known["conv2d_gradients_loops"](grad, x, weight),
            "`fastconv.grad.conv2d`": lambda: fastconv.grad.conv2d(x, weight, grad, padding=1),
        },
        "pooling": {
            "loops": lambda: known["max_pool2d_loops"](x),
            "`fastconv.max_pool2d`": lambda: fastconv.max_pool2d(x, 2),
        },
    }
    return {place: {name: seconds(call) for name, call in row.items()} for place, row in calls.items()}


def told(value):
    """With three digits, and the unit that suits."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if value * factor >= 1 or unit == "µs":
            return f"{value * factor:.3g} {unit}"
    raise AssertionError


def table(times):
    last = [*times.values()][-1]
    lines = ["", "| | time | of the call's |", "|---|--:|--:|"]
    lines += [f"| {name} | {told(value)} | {value / last:,.0f} |" for name, value in times.items()]
    machine = f"{processor_name()}, {fastconv.get_num_threads()} threads"
    return "\n".join([*lines, "", f"On an {machine}.", "", ""])


def main():
    page = PAGE.read_text(encoding="utf-8")
    times = measured(page)
    filled = PLACE.sub(lambda place: f"{place[1]}{table(times[place[2]])}{place[3]}", page)
    PAGE.write_text(filled, encoding="utf-8")
    print(times)


if __name__ == "__main__":
    main()
