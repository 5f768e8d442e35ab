"""The base of all networks and layers: what users do with one.

What holds it together is in `core.py`, what it holds in `stateful.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import Any, SupportsIndex

import numpy as np

from fastconv.arguments import integer
from fastconv.backends import get_backend
from fastconv.graph import Graph
from fastconv.graph.program import Program
from fastconv.nn import export, files, state
from fastconv.nn.cluster import step_on
from fastconv.nn.losses import loss_of
from fastconv.nn.optimisers import Optimiser, optimiser_of
from fastconv.nn.scope import setting
from fastconv.nn.stateful import Mismatch, Stateful
from fastconv.nn.structure import structure_of
from fastconv.nn.summary import Summary, summarised
from fastconv.nn.tape import Tape, Variable
from fastconv.nn.training import batches, loop
from fastconv.nn.training.callbacks import Callback
from fastconv.nn.training.metrics import metrics_of
from fastconv.typing import Array, ArrayLike


class Module(Stateful):
    """A part of a network, or a network. One of your own is a subclass with `forward`, or `__call__`.

    Parameters
    ----------
    layout : {"NCHW", "NHWC"}, optional
        That of a network is given once, to its outermost part; by default NCHW.

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> class Scaled(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.dense = nn.Dense(2)
    ...         self.scale = np.ones(2, np.float32)
    ...
    ...     def forward(self, x):
    ...         return self.dense(x) * self.scale
    >>> net = Scaled()
    >>> net(np.ones((1, 3))).shape
    (1, 2)
    >>> [name for name, _ in net.named_parameters()]
    ['scale', 'dense.weight', 'dense.bias']
    """

    # Gradients.

    def _kept(self, inputs: tuple[Any, ...]) -> Any:
        tape = Tape(state.parameters(self, trainable=True).values())
        arrays = [np.array(x, self.dtype) for x in inputs]
        with setting(tracer=tape):
            result = self(*(tape.watch(array) for array in arrays))
        if not isinstance(result, Variable):
            raise TypeError(
                f"forward: the network gave {type(result).__name__}, but backward needs one array"
            )
        self.__dict__["_record"] = tape, arrays, result
        return result.value

    def backward(self, grad: ArrayLike) -> Any:
        """The gradients of what the last `forward` computed.

        Parameters
        ----------
        grad : array_like
            The gradient of its result, of its shape.

        Returns
        -------
        ndarray, or tuple of them
            The gradient of its input, or of each. Those of the parameters are in `gradients` afterwards.
        """
        record = self.__dict__.pop("_record", None)
        if record is None:
            raise ValueError("backward: needs a call of forward before it, and each of these serves once")
        tape, arrays, result = record
        slope = np.array(grad, result.dtype)
        if slope.shape != result.shape:
            raise ValueError(f"backward: grad has shape {slope.shape}, but forward gave {result.shape}")
        tape.walk_back(result, slope)
        wanted = state.parameters(self, trainable=True)
        self.__dict__["_gradients"] = {path: tape.gradient_of(array) for path, array in wanted.items()}
        found = tuple(tape.gradient_of(array) for array in arrays)
        return found[0] if len(found) == 1 else found

    @property
    def gradients(self) -> dict[str, Array]:
        """Those of the parameters that `backward` found, by their paths."""
        return dict(self.__dict__.get("_gradients", {}))

    # Training.

    def train_step(
        self, x: Any, y: Any, *, loss: Any = "cross_entropy", optimizer: Any = None, debug: bool = False
    ) -> float:
        """One step of an optimiser on one batch.

        Parameters
        ----------
        x, y : array_like
        loss : str or callable
        optimizer : Optimiser, optional
            By default that of the last step, and ``Adam(1e-3)`` at first.
        debug : bool
            Look for the layer in which numbers stop being finite.

        Returns
        -------
        float
            The loss before the step.
        """
        if optimizer is not None or "_optimizer" not in self.__dict__:
            self.__dict__["_optimizer"] = optimiser_of("adam" if optimizer is None else optimizer)
        inputs, targets = batches.arrays("train_step", "x", x), batches.arrays("train_step", "y", y)
        batches.same_count("train_step", inputs, targets)
        return loop.train_step(self, inputs, targets, loss_of(loss), self.__dict__["_optimizer"], debug)

    def fit(
        self,
        x: Any,
        y: Any = None,
        epochs: SupportsIndex = 1,
        batch_size: SupportsIndex = 32,
        loss: Any = "cross_entropy",
        optimizer: Optimiser | str = "adam",
        validation: tuple[Any, Any] | None = None,
        *,
        metrics: Any = None,
        callbacks: Sequence[Callback] = (),
        augment: Callable[..., Any] | None = None,
        accumulate: SupportsIndex = 1,
        shuffle: bool = True,
        progress: bool | None = None,
        rng: Any = None,
        debug: bool = False,
        checkpoint: str | os.PathLike[str] | None = None,
        resume: bool = False,
        cluster: Any = None,
        synchronise: bool = True,
    ) -> dict[str, list[float]]:
        """Train the network in place.

        Parameters
        ----------
        x, y : array_like, or tuple of them
            Samples and what they should give. Memory-mapped arrays are read batch by batch. Or `x` alone, a
            `nn.data.Batches`, which decides size, order and augmentation itself and goes on where it is.
        epochs, batch_size : int
            The last batch of an epoch may be smaller.
        loss : str or callable
            Of `nn.losses`, or ``loss(output, target)``, of what `nn.functional` takes.
        optimizer : Optimiser or str
        validation : (array_like, array_like), optional
            Evaluated after each epoch.
        metrics : str, callable, or list of these, optional
            By default accuracy, where the loss is one of classes.
        callbacks : list of Callback
        augment : callable, optional
            ``augment(x, y, rng)`` gives a changed batch, as those of `nn.augment` do.
        accumulate : int
            So many batches make one step.
        shuffle : bool
        progress : bool, optional
            Whether to show it, in the terminal's error stream; by default where somebody watches.
        rng : int or Generator, optional
            Decides the order of samples, weights that are not made yet, dropout and augmentation: the same seed gives
            the same bits, on the ``cython`` backend whatever the number of threads.
        debug : bool
            Look for the layer in which numbers stop being finite.
        checkpoint : path_like, optional
            A ``.safetensors`` file that the whole state is written to after each epoch.
        resume : bool
            Go on from that file, where there is one, to the same bits as without an interruption. `epochs` counts
            those before it, too. What callbacks know is not in the file.
        cluster : distributed.Client or mpi4py communicator, optional
            Each worker computes the gradient of a share of every batch; sums of the shares, added up in a fixed order,
            make one step. To rounding the result is that of this process alone, and the same bits for the same number
            of workers at the beginning (or of the batches' `shards`). Losses and metrics have to be means over samples;
            dropout draws for each share apart. A dead worker's share is computed by another one (not with MPI, whose
            processes all call `fit`, with the same arguments).
        synchronise : bool
            Whether batch normalisation on a cluster takes the statistics of the whole batch, for which workers exchange
            sums in each layer, or each worker those of its share, and the running ones are their means.

        Returns
        -------
        dict of str to list
            For each epoch ``loss``, metrics, and with `validation` ``val_loss`` and ``val_`` metrics.

        Raises
        ------
        ValueError, TypeError
            If arguments or shapes do not fit.
        FloatingPointError
            If the loss is no longer finite.

        Examples
        --------
        >>> import numpy as np, fastconv.nn as nn
        >>> x = np.linspace(-1, 1, 64)[:, None]
        >>> net = nn.Sequential(nn.Dense(16, activation="tanh"), nn.Dense(1))
        >>> history = net.fit(x, x**2, epochs=50, loss="mse", optimizer=nn.Adam(0.02), rng=0)
        >>> history["loss"][-1] < 0.01
        True
        """
        run = loop.Fit(
            self,
            x,
            y,
            epochs=int(epochs),
            batch_size=int(batch_size),
            loss=loss,
            optimizer=optimizer,
            validation=validation,
            metrics=metrics,
            callbacks=callbacks,
            augment=augment,
            accumulate=int(accumulate),
            shuffle=shuffle,
            progress=progress,
            rng=rng,
            debug=debug,
            checkpoint=checkpoint,
            resume=resume,
            step=step_on(cluster, x, synchronise),
        )
        self.__dict__["_loss"] = loss
        self.__dict__["_optimizer"] = run.optimizer
        return run()

    def evaluate(
        self, x: Any, y: Any, *, batch_size: SupportsIndex = 32, loss: Any = None, metrics: Any = None
    ) -> dict[str, float]:
        """The loss and the metrics of samples, in inference mode.

        Parameters
        ----------
        x, y, batch_size, metrics
            As for `fit`.
        loss : str or callable, optional
            By default that of the last `fit`, and cross-entropy before.

        Returns
        -------
        dict of str to float
        """
        chosen = self.__dict__.get("_loss", "cross_entropy") if loss is None else loss
        inputs, targets = batches.arrays("evaluate", "x", x), batches.arrays("evaluate", "y", y)
        batches.same_count("evaluate", inputs, targets)
        size = integer("evaluate", "batch_size", batch_size, 1)
        return loop.evaluate(self, inputs, targets, loss_of(chosen), metrics_of(metrics, chosen), size)

    def predict(self, x: Any, *, batch_size: SupportsIndex = 32) -> Any:
        """The network's results for samples, in inference mode and batch by batch.

        Parameters
        ----------
        x : array_like, or tuple of them
        batch_size : int

        Returns
        -------
        ndarray, or tuple of them
        """
        size = integer("predict", "batch_size", batch_size, 1)
        return loop.predict(self, batches.arrays("predict", "x", x), size)

    # Graphs and files.

    def graph(self, input_shape: Any) -> Graph:
        """The network as a graph: what it does in inference mode with an input of a shape.

        Parameters
        ----------
        input_shape : tuple of int
            In the network's layout; the first size may be None: a batch of any size. Several inputs: a list of shapes,
            or a dict of them by name.

        Returns
        -------
        fastconv.graph.Graph
            Its constants are the network's arrays, under their paths.
        """
        return export.drawn(self, "graph", input_shape)[0]

    def compile(self, input_shape: Any, *, optimize: bool = True, tune: bool = False) -> Program:
        """Make the network ready to run for inputs of one shape: fused, its memory planned.

        Parameters
        ----------
        input_shape : tuple of int
        optimize : bool
        tune : bool
            Take the kernels that were measured to be the fastest, as `fastconv.onnx.Model.compile` says.

        Returns
        -------
        fastconv.graph.program.Program
            Of the network as it is now, on the current backend.

        Examples
        --------
        >>> import numpy as np, fastconv.nn as nn
        >>> net = nn.Sequential(nn.Conv2D(4, 3), nn.BatchNorm2D(), nn.Activation("relu"))
        >>> program = net.compile((1, 3, 8, 8))
        >>> [step.operation for step in program.steps()]
        ['Conv 3x3 + relu']
        """
        shapes = export.shapes_of("compile", input_shape)
        return Program(frozen_graph(self, input_shape), shapes, get_backend(), optimize=optimize, tune=tune)

    def summary(self, input_shape: Any) -> Summary:
        """What each layer gives, holds, costs and sees.

        Parameters
        ----------
        input_shape : tuple of int

        Returns
        -------
        Summary
            To print, or to read. Parameters that are not made yet stay so.

        Examples
        --------
        >>> import fastconv.nn as nn
        >>> net = nn.Sequential(nn.Conv2D(4, 3), nn.MaxPool2D(2), nn.Flatten(), nn.Dense(10))
        >>> print(net.summary((1, 1, 8, 8)))
        layer  kind       output        parameters  FLOPs  sees  memory
        ---------------------------------------------------------------
        0      Conv2D     (1, 4, 6, 6)          40  2.6 k     3   576 B
        1      MaxPool2D  (1, 4, 3, 3)                        4   144 B
        2      Flatten    (1, 36)                             4     0 B
        3      Dense      (1, 10)              370   720    all    40 B
        ---------------------------------------------------------------
        Sequential: 410 parameters, 3.3 kFLOPs, 760 B of activations
        """
        return summarised(self, input_shape)

    def save(self, path: str | os.PathLike[str], *, structure: bool = True) -> None:
        """Write the state into a ``.safetensors`` file, and the structure, so that `nn.load` makes the network again.

        Parameters
        ----------
        path : path_like
        structure : bool
            False leaves the structure out, which classes and functions of one's own may make impossible.

        Raises
        ------
        TypeError
            If the structure has what a file cannot hold.
        """
        told = {"format": "fastconv.nn"}
        if structure:
            options = {"layout": self.layout, "dtype": self.dtype.name}
            told["structure"] = json.dumps({"net": structure_of(self), **options})
        files.write(path, state.state_of(self), told)

    def load_weights(self, path: str | os.PathLike[str], *, strict: bool = True) -> Mismatch:
        """Load the arrays of a ``.safetensors`` file, of this library or PyTorch's.

        Parameters
        ----------
        path : path_like
        strict : bool
            As for `load_state_dict`.

        Returns
        -------
        Mismatch
        """
        return self.load_state_dict(files.read(path)[0], strict)


def frozen_graph(net: Module, input_shape: Any) -> Graph:
    """A network as it is now, with copies of the arrays that a training goes on to change."""
    graph = net.graph(input_shape)
    for node in graph.nodes:
        for value in node.reads():
            if value.is_constant:
                value.constant = value.constant.copy()
                value.constant.flags.writeable = False
    return graph
