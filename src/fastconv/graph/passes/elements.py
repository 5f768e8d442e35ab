"""The operations that make each element of elements at the same place, by broadcasting. Used by passes."""

from __future__ import annotations

ARITHMETIC = frozenset({"Add", "Div", "Max", "Mean", "Min", "Mul", "Pow", "Sub", "Sum"})
UNARY = frozenset(
    {
        "Abs",
        "Ceil",
        "Celu",
        "Elu",
        "Erf",
        "Exp",
        "Floor",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "LeakyRelu",
        "Log",
        "Mish",
        "Neg",
        "Reciprocal",
        "Relu",
        "Round",
        "Selu",
        "Sigmoid",
        "Sign",
        "Softplus",
        "Softsign",
        "Sqrt",
        "Swish",
        "Tanh",
        "ThresholdedRelu",
        "com.microsoft.QuickGelu",
    }
)
COMPARISONS = frozenset({"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"})
# These make truth values of truth values.
LOGIC = frozenset({"And", "Not", "Or", "Xor"})
POINTWISE = ARITHMETIC | UNARY | COMPARISONS | LOGIC | {"Clip", "PRelu", "Where"}
