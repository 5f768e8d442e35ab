"""The attributes of operators whose windows slide over spatial axes: strides, dilations and ONNX's ways to pad."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from fastconv.caches import kept
from fastconv.graph.graph import Size
from fastconv.problem.sizes import pool_size

AutoPad = Literal["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID", ""]  # the last is that of some old files
Pads = tuple[tuple[int, int], ...]
_LONGEST = 80  # letters of a formula that grows: a file may have any number of layers


@dataclass(frozen=True)
class Windows:
    """Windows of `kernel` over as many axes; the attributes have been filled in."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: Pads | None  # None: by `auto_pad`
    auto_pad: str
    ceil: bool = False

    @classmethod
    def of(cls, kernel: Any, attributes: dict[str, Any]) -> Windows:
        rank = len(kernel)
        strides, dilations = (tuple(attributes.get(name) or (1,) * rank) for name in ("strides", "dilations"))
        given = tuple(attributes.get("pads") or (0,) * 2 * rank)
        mode, ceil = attributes.get("auto_pad") or "NOTSET", bool(attributes.get("ceil_mode"))
        return _windows(tuple(kernel), strides, dilations, given, mode, ceil)

    @cached_property
    def extents(self) -> tuple[int, ...]:
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    def padding(self, sizes: tuple[int, ...]) -> Pads:
        """Before and after each axis."""
        self._check_axes(sizes)
        if self.pads is not None:
            return self.pads
        return tuple(map(self._same, sizes, self.strides, self.extents))

    def _check_axes(self, sizes: tuple[Size, ...]) -> None:
        if len(sizes) != len(self.kernel):
            raise ValueError(f"windows of {len(self.kernel)} axes for {len(sizes)} spatial axes")

    def _same(self, size: int, stride: int, extent: int) -> tuple[int, int]:
        total = max((-(size // -stride) - 1) * stride + extent - size, 0)
        return split(total, self.auto_pad == "SAME_UPPER")

    def counts(self, sizes: tuple[int, ...]) -> tuple[int, ...]:
        """How many windows there are along each axis."""
        self._check_axes(sizes)
        return tuple(self._count(axis, size) for axis, size in enumerate(sizes))

    def _count(self, axis: int, size: int) -> int:
        kernel, stride, dilation = self.kernel[axis], self.strides[axis], self.dilations[axis]
        extent = self.extents[axis]
        pads = self.pads[axis] if self.pads is not None else self._same(size, stride, extent)
        found = pool_size(size, kernel, stride, *pads, dilation, self.ceil)
        if found < 0:
            raise ValueError(f"windows of {extent} do not fit an axis of {size}, padded by {pads}")
        return found

    def shape(self, sizes: tuple[Size, ...]) -> tuple[Size, ...]:
        """The same where some sizes may not be known: of a symbol, the symbol or a formula that has it in it."""
        self._check_axes(sizes)
        return tuple(self._along(axis, size) for axis, size in enumerate(sizes))

    def _along(self, axis: int, size: Size) -> Size:
        stride, pads = self.strides[axis], None if self.pads is None else self.pads[axis]
        if isinstance(size, int):
            return self._count(axis, size)
        if size is None or self.ceil or len(size) > _LONGEST:
            return None
        if pads is None:
            return size if stride == 1 else f"({size}{stride - 1:+})//{stride}"
        more = sum(pads) - self.extents[axis]
        if stride == 1:
            return f"{size}{more + 1:+}" if more + 1 else size
        return f"({size}{more:+})//{stride}+1" if more else f"({size})//{stride}+1"


@kept()
def _windows(
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
    given: tuple[int, ...],
    mode: str,
    ceil: bool,
) -> Windows:
    """Those of most layers are the same; `given` are the pads as a file has them."""
    rank = len(kernel)
    if len(strides) != rank or len(dilations) != rank or len(given) != 2 * rank:
        raise ValueError(f"strides, dilations or pads do not fit a kernel of {rank} axes")
    if min(*kernel, *strides, *dilations, 1) < 1:
        raise ValueError("kernel, strides and dilations need to be 1 or more")
    pads = tuple(zip(given[:rank], given[rank:], strict=True)) if mode == "NOTSET" else None
    if mode == "VALID":
        pads = ((0, 0),) * rank
    return Windows(kernel, strides, dilations, pads, mode, ceil)


def split(total: int, more_after: bool) -> tuple[int, int]:
    """A padding in two halves; the odd pixel comes last, or first."""
    less, more = total // 2, total - total // 2
    return (less, more) if more_after else (more, less)
