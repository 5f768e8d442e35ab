"""ONNX's own backend tests: each a model, as its bytes, with inputs and the outputs that it must give."""

from __future__ import annotations

import functools
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import numpy_helper

FOLDERS = ("simple", "pytorch-converted", "pytorch-operator")


class Case(NamedTuple):
    kind: str
    name: str
    model: Any  # bytes, or the path of a file
    data: Any  # [(inputs, outputs)], or the folder that holds them
    rtol: float
    atol: float

    def proto(self) -> onnx.ModelProto:
        return onnx.load(self.model) if isinstance(self.model, Path) else onnx.load_from_string(self.model)

    def sets(self) -> list[tuple[list[Any], list[Any]]]:
        if not isinstance(self.data, Path):
            return self.data
        found = []
        model = self.proto()
        for folder in sorted(self.data.glob("test_data_set_*")):
            found.append(
                tuple(
                    [
                        _read(folder / f"{kind}_{place}.pb", info.type)
                        for place, info in enumerate(getattr(model.graph, kind))
                        if (folder / f"{kind}_{place}.pb").exists()
                    ]
                    for kind in ("input", "output")
                )
            )
        return found


def _read(path: Path, kind: onnx.TypeProto) -> Any:
    data = path.read_bytes()
    if kind.HasField("sequence_type"):
        return numpy_helper.to_list(onnx.SequenceProto.FromString(data))
    return numpy_helper.to_array(onnx.TensorProto.FromString(data))


@functools.cache
def cases() -> dict[str, Case]:
    """All by name, "kind/test_name". The node tests take ONNX seconds to make."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's, from computing the expected results
        nodes = [test for test in collect_testcases(None) if test.model is not None]
    found = [
        Case("node", test.name, test.model.SerializeToString(), test.data_sets, test.rtol, test.atol)
        for test in nodes
    ]
    root = Path(onnx.__file__).parent / "backend" / "test" / "data"
    for kind in FOLDERS:
        for folder in sorted((root / kind).iterdir()):
            found.append(Case(kind, folder.name, folder / "model.onnx", folder, 1e-3, 1e-5))
    return {f"{case.kind}/{case.name}": case for case in found}


def plain(value: Any) -> Any:
    """A tensor as this library holds it: what NumPy lacks is wider."""
    if isinstance(value, list):
        return [plain(part) for part in value]
    if isinstance(value, onnx.TensorProto):
        value = numpy_helper.to_array(value)
    array = np.asarray(value)
    if array.dtype.kind in "US":
        return array.astype(object)
    name = array.dtype.name
    if name.startswith(
        ("bfloat", "float8", "float6_", "float4", "int4", "uint4", "int2", "uint2")
    ):  # ml_dtypes
        return array.astype(
            np.int8 if name.startswith("int") else np.uint8 if name.startswith("uint") else np.float32
        )
    return array
