"""The families of processors that the predicted costs know: one is found, it is shown, and it decides the choice."""

import re
from pathlib import Path

import numpy as np
import pytest

import fastconv
from checks import normal, run_module, run_python
from conftest import skip_unless_available

# Costs are compared that differ from family to family: many products, and weights that no cache holds.
SHAPE = (1, 512, 28, 28)
WEIGHT = (512, 512, 3, 3)


@pytest.fixture
def engine():
    skip_unless_available("cython")
    from fastconv.backends.cython import _engine

    found = _engine.selected_processor()
    yield _engine
    _engine.select_processor(found)
    fastconv.clear_cache()


def select(engine, index):
    fastconv.clear_cache()
    engine.select_processor(index)


def plan():
    return fastconv.plan_conv2d(normal(WEIGHT, dtype=np.float32), padding=1, backend="cython")


def test_info_shows_the_family(engine, tmp_path):
    name, source = engine.processors()[engine.selected_processor()]
    lines = run_module("info", cwd=tmp_path).stdout.splitlines()
    (line,) = (line for line in lines if line.strip().startswith("costs "))
    assert line.split(maxsplit=1)[1] == f"for {name} ({source})"


def test_families_are_told_apart_and_say_where_their_numbers_come_from(engine):
    names, sources = zip(*engine.processors(), strict=True)
    assert len(set(names)) == len(names)
    assert all(sources)
    assert sources.count("measured") == 3


AMD, INTEL = "AuthenticAMD", "GenuineIntel"
MODELS = [
    (AMD, 0x17, 0x31, "Zen 2"), (AMD, 0x19, 0x01, "Zen 3"), (AMD, 0x19, 0x21, "Zen 3"),
    (AMD, 0x19, 0x11, "Zen 4"), (AMD, 0x19, 0x61, "Zen 4"), (AMD, 0x1A, 0x02, "Zen 5"), (AMD, 0x1A, 0x44, "Zen 5"),
    (AMD, 0x1A, 0x24, "Zen 5 with units of 32 bytes"), (AMD, 0x15, 0x02, "generic"),
    (INTEL, 6, 0x55, "Skylake-X and Cascade Lake"), (INTEL, 6, 0x6A, "Ice Lake, server"),
    (INTEL, 6, 0x7E, "Ice, Tiger and Rocket Lake"), (INTEL, 6, 0x8F, "Sapphire Rapids"),
    (INTEL, 6, 0x3C, "Haswell to Raptor Lake"), (INTEL, 6, 0x97, "Haswell to Raptor Lake"),
    (INTEL, 6, 0x2A, "generic"), ("HygonGenuine", 0x18, 0x01, "generic"),
]  # fmt: skip


@pytest.mark.parametrize(("vendor", "family", "model", "name"), MODELS)
def test_models(engine, vendor, family, model, name):
    """From the vendors' lists of models: EPYC and Ryzen, Xeon and Core."""
    assert engine.processors()[engine.processor_of(vendor, family, model)][0] == name


def test_this_one_is_found(engine):
    """As the kernel reads the same numbers."""
    path = Path("/proc/cpuinfo")
    text = path.read_text() if path.exists() else ""
    told = dict(re.findall(r"^(vendor_id|cpu family|model)\s*: (\S+)$", text, re.M))
    if len(told) < 3:
        pytest.skip("needs /proc/cpuinfo of an x86 processor")
    expected = engine.processor_of(told["vendor_id"], int(told["cpu family"]), int(told["model"]))
    assert engine.selected_processor() == expected


def test_costs_are_those_of_the_family(engine):
    explained = {}
    for index, (name, _) in enumerate(engine.processors()):
        select(engine, index)
        explained[name] = plan().explain(SHAPE)
        assert plan().explain(SHAPE) == explained[name]
    if "avx512" in explained["Zen 4"]:
        assert explained["Zen 4"] != explained["Zen 5"]
    assert explained["Skylake-X and Cascade Lake"] != explained["Zen 3"]


def test_rows_outside_the_image_cost_nothing(engine):
    """Of 9 rows of taps, an image of 5 rows has at most 5; a tall one nearly always all."""

    def cost_of_a_row(height):
        plan = fastconv.plan_conv2d(
            normal((64, 64, 9, 1), dtype=np.float32), padding=(4, 0), backend="cython"
        )
        from fastconv.backends.cython import _KERNELS, _choose

        conv = _choose(plan._problem((1, 64, height, 64))).conv
        return conv.cost(_KERNELS.index("direct_channels")) / height

    assert cost_of_a_row(5) < 0.7 * cost_of_a_row(50)


CHOICE = """
from fastconv.backends.cython import _engine
import fastconv, numpy as np
_engine.select_processor([name for name, _ in _engine.processors()].index("Zen 4"))
weight = np.broadcast_to(np.float32(0), {weight})
print(fastconv.plan_conv2d(weight, backend="cython", {options}).algorithm({shape}))
"""


@pytest.mark.parametrize(
    ("instruction_set", "shape", "weight", "options", "chosen"),
    [
        # AVX2 has costs of its own there: direct_pixels takes 540 us, winograd4 760.
        ("avx2", (2, 4, 189, 189), (12, 4, 3, 3), "padding=1", "direct_pixels"),
        # Kernels that do one group after the other move the cache lines of a large NHWC image for each.
        ("avx512", (8, 1024, 1024, 16), (2, 2, 1, 160), "groups=16, layout='NHWC'", "grouped"),
    ],
)
def test_choice_on_zen_4(engine, instruction_set, shape, weight, options, chosen):
    from fastconv.backends import cython

    if instruction_set not in cython.instruction_sets():
        pytest.skip(f"needs {instruction_set}")
    code = CHOICE.format(shape=shape, weight=weight, options=options)
    assert run_python(code, FASTCONV_ISA=instruction_set) == chosen


def test_every_family_computes_the_same_convolution(engine):
    x, weight = normal((2, 24, 17, 19), dtype=np.float32), normal((40, 24, 3, 3), dtype=np.float32)
    expected = fastconv.conv2d(x.astype(float), weight.astype(float), padding=1, backend="numpy")
    for index in range(len(engine.processors())):
        select(engine, index)
        result = fastconv.conv2d(x, weight, padding=1, backend="cython")
        np.testing.assert_allclose(result, expected, atol=2e-4 * np.abs(expected).max())


def test_a_family_that_is_not_there_is_refused(engine):
    with pytest.raises(IndexError, match=r"index is 99, but needs 0 to"):
        engine.select_processor(99)
    with pytest.raises(IndexError, match=r"index is -1"):
        engine.select_processor(-1)
