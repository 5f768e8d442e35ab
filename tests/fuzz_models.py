"""Loads and runs changed ONNX files until it is stopped: a program to leave running, not a test.

    python tests/fuzz_models.py MINUTES FILE.onnx...

Bytes are changed, and messages too (names, attributes, shapes, inputs). A case may end in an answer, in `ModelError`,
or in the `ValueError`, `TypeError` or `MemoryError` of a call; anything else, a crash, a case that computes for more
than 20 s or waits for 10 minutes, or of more memory than 1 GB counts as a fault, and is kept as ``fault-N.onnx`` in
the current folder.
"""

import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import onnx

import fastconv.onnx

SECONDS, WAITING, MEMORY = 20, 600, 1 << 30  # seconds of computing, and of the clock


def change_bytes(data, rng):
    data = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        place = rng.randrange(len(data) or 1)
        kind = rng.randrange(4)
        if kind == 0 and data:
            data[place] = rng.randrange(256)
        elif kind == 1:
            del data[place : place + rng.randint(1, 30)]
        elif kind == 2:
            data[place:place] = rng.randbytes(rng.randint(1, 12))
        else:
            start = rng.randrange(len(data) or 1)
            data[place:place] = data[start : start + rng.randint(1, 60)]
    return bytes(data)


NUMBERS = (0, 1, -1, 2, 3, 7, -2, 64, 1 << 31, -(1 << 31), (1 << 63) - 1, -(1 << 63))


def change_messages(data, rng):
    model = onnx.load_model_from_string(data)
    for _ in range(rng.randint(1, 4)):
        nodes = model.graph.node
        if not nodes:
            break
        node, kind = rng.choice(nodes), rng.randrange(8)
        if kind == 0 and node.attribute:
            a = rng.choice(node.attribute)
            if a.ints:
                a.ints[rng.randrange(len(a.ints))] = rng.choice(NUMBERS)
            elif a.type == onnx.AttributeProto.INT:
                a.i = rng.choice(NUMBERS)
            elif a.type == onnx.AttributeProto.FLOAT:
                a.f = rng.choice((0.0, -1.0, 1e30, float("inf"), float("nan")))
            elif a.type == onnx.AttributeProto.STRING:
                a.s = rng.choice((b"", b"SAME_UPPER", b"linear", b"reflect", b"\xff"))
        elif kind == 1 and node.attribute:
            del node.attribute[rng.randrange(len(node.attribute))]
        elif kind == 2 and node.input:
            other = rng.choice(nodes)
            names = [*other.output, *other.input, "", "nothing"]
            node.input[rng.randrange(len(node.input))] = rng.choice(names)
        elif kind == 3:
            node.op_type = rng.choice(nodes).op_type
        elif kind == 4 and model.graph.initializer:
            tensor = rng.choice(model.graph.initializer)
            if tensor.dims:
                tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(NUMBERS)
        elif kind == 5 and model.graph.initializer:
            tensor = rng.choice(model.graph.initializer)
            values = onnx.numpy_helper.to_array(tensor)
            if values.size and values.dtype == np.int64:
                values = values.copy()
                values.flat[rng.randrange(values.size)] = rng.choice(NUMBERS)
                tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
        elif kind == 6 and model.graph.input:
            shape = rng.choice(model.graph.input).type.tensor_type.shape
            if shape.dim:
                shape.dim[rng.randrange(len(shape.dim))].dim_value = rng.choice(NUMBERS)
        elif kind == 7 and node.input:
            del node.input[rng.randrange(len(node.input))]
    return model.SerializeToString()


def inputs_of(data, rng):
    """Arrays as the unchanged file wants them."""
    model = onnx.load_model_from_string(data)
    constants = {tensor.name for tensor in model.graph.initializer}
    arrays = []
    for value in model.graph.input:
        if value.name in constants:
            continue
        tensor = value.type.tensor_type
        shape = [dim.dim_value or 1 for dim in tensor.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type or 1)
        arrays.append(np.random.default_rng(rng.randrange(1 << 30)).standard_normal(shape).astype(dtype))
    return arrays


def case(seeds, number):
    rng = random.Random(number)
    data = seeds[rng.randrange(len(seeds))]
    try:
        return data, (change_messages if rng.random() < 0.6 else change_bytes)(data, rng), rng
    except Exception:  # of onnx, which cannot write what was made
        return data, change_bytes(data, rng), rng


def attempt(seed, changed, rng):
    try:
        model = fastconv.onnx.load(changed)
    except fastconv.onnx.ModelError:
        return "refused"
    try:
        model(*inputs_of(seed, rng))
    except (ValueError, TypeError, MemoryError, IndexError) as error:
        return f"call: {type(error).__name__}"
    return "answered"


def work(seeds, first, count):
    """In a process of its own: says how each case ended."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY + (8 << 30), MEMORY + (8 << 30)))
    for number in range(first, first + count):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(number, "begins", flush=True)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # a machine that does other things is no fault
        signal.alarm(WAITING)
        try:
            ending = attempt(*case(seeds, number))
        except BaseException as error:
            ending = f"FAULT {type(error).__name__}: {str(error)[:200]}"
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
        if grown > MEMORY:
            ending = f"FAULT grew by {grown >> 20} MB: {ending}"
        print(number, ending, flush=True)


def main():
    minutes, paths = float(sys.argv[1]), sys.argv[2:]
    seeds = [Path(path).read_bytes() for path in paths]
    end, number, endings, faults = time.monotonic() + 60 * minutes, int(time.time()), Counter(), 0
    while time.monotonic() < end:
        with tempfile.TemporaryFile("w+") as told:
            child = os.fork()
            if child == 0:
                os.dup2(told.fileno(), 1)
                os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
                work(seeds, number, 200)
                os._exit(0)
            _, status = os.waitpid(child, 0)
            told.seek(0)
            lines = [line.rstrip().split(" ", 1) for line in told]
        for _, ending in lines:
            if ending != "begins":
                endings[ending if ending.startswith("FAULT") else ending[:30]] += 1
        found = [place for place, ending in lines if ending.startswith("FAULT")]
        if status:
            found.append(lines[-1][0])
            endings[f"FAULT status {status}"] += 1
        for place in found:
            faults += 1
            Path(f"fault-{place}.onnx").write_bytes(case(seeds, int(place))[1])
        number = int(lines[-1][0]) + 1
        print(f"{sum(endings.values())} cases, {faults} faults", end="\r", flush=True)
    print()
    for ending, count in endings.most_common():
        print(f"{count:8d}  {ending}")
    sys.exit(faults > 0)


if __name__ == "__main__":
    main()
