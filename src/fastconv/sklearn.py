"""Networks as estimators of scikit-learn: in a `Pipeline`, in `GridSearchCV`, in `cross_val_score`.

Needs the ``sklearn`` extra.

Examples
--------
>>> from sklearn.datasets import load_digits
>>> from sklearn.model_selection import cross_val_score
>>> from fastconv.sklearn import CNNClassifier
>>> x, y = load_digits(return_X_y=True)
>>> model = CNNClassifier(image_shape=(1, 8, 8), epochs=5, random_state=0)
>>> bool(cross_val_score(model, x / 16, y, cv=3).mean() > 0.9)
True
"""

from __future__ import annotations

try:
    import sklearn.base as _base
except ImportError as error:
    raise ImportError(
        f'fastconv.sklearn cannot be loaded: {error}; install it with: pip install ".[sklearn]" in the folder of '
        "fastconv's source"
    ) from error

import copy
import math
from collections.abc import Callable
from typing import Any, Self, SupportsIndex

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

import fastconv
from fastconv import nn
from fastconv.arguments import integer
from fastconv.nn.optimisers import Optimiser, optimiser_of
from fastconv.problem.layout import channels_last, check_layout
from fastconv.shown import shows
from fastconv.typing import Array, Layout

__all__ = ["CNNClassifier", "CNNRegressor"]
__dir__ = shows(__name__)

_SMALLEST_POOLED = 4  # pixels, of what the default network pools
# Of a batch for predictions, numbers and samples: a lone sample takes as long as a batch.
_MOST_NUMBERS, _MOST_SAMPLES = 1 << 16, 32


class _Estimator(_base.BaseEstimator):  # type: ignore[misc]
    """What both estimators share: options, the shape of images, the training."""

    _loss: str
    shape_: tuple[int, ...]  # of an image of the training

    def __init__(
        self,
        net: Callable[..., Any] | None = None,
        *,
        image_shape: tuple[int, int, int] | None = None,
        epochs: SupportsIndex = 50,
        batch_size: SupportsIndex = 32,
        optimizer: Optimiser | str = "adam",
        learning_rate: float = 3e-3,
        augment: Callable[..., Any] | None = None,
        layout: Layout = "NCHW",
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.net = net
        self.image_shape = image_shape
        self.epochs = epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.augment = augment
        self.layout: Layout = layout
        self.random_state = random_state
        self.verbose = verbose

    def _train(self, images: Array, y: Array, outputs: int) -> None:
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self.net_ = self._network(images, outputs)
        self.history_ = self.net_.fit(
            images,
            y,
            self.epochs,
            self.batch_size,
            loss=self._loss,
            optimizer=self._optimiser(),
            augment=self.augment,
            progress=bool(self.verbose),
            rng=seed,
        )

    def _optimiser(self) -> Optimiser:
        if isinstance(self.optimizer, str):
            chosen = optimiser_of(self.optimizer)
            chosen.schedule = nn.schedules.constant(self.learning_rate)
            return chosen
        return copy.deepcopy(optimiser_of(self.optimizer))  # its moments belong to one training

    def _network(self, images: Array, outputs: int) -> nn.Module:
        if isinstance(self.net, nn.Module):
            return copy.deepcopy(self.net)
        if self.net is not None:
            made = self.net(outputs)
            if not isinstance(made, nn.Module):
                raise TypeError(
                    f"{type(self).__name__}: net gave {type(made).__name__}, but needs to give a network"
                )
            return made
        parts: list[Any] = []
        size = images.shape[1:3] if channels_last(self.layout) else images.shape[2:4]
        for filters in (32, 64):
            parts.append(nn.Conv2D(filters, 3, padding="same", activation="relu"))
            if min(size) >= _SMALLEST_POOLED:
                parts.append(nn.MaxPool2D(2))
                size = tuple(length // 2 for length in size)
        return nn.Sequential(*parts, nn.Flatten(), nn.Dense(outputs), layout=self.layout)

    def _images(self, x: Any) -> Any:
        """Rows as images; what has the axes of images already stays."""
        name = type(self).__name__
        check_layout(name, self.layout)
        if x.ndim == 4:
            return x
        if x.ndim == 3:
            return x[..., np.newaxis] if channels_last(self.layout) else x[:, np.newaxis]
        if x.ndim != 2:
            raise ValueError(f"{name}: X has {x.ndim} dimensions, but needs 2, 3 or 4")
        shape = self.image_shape
        if shape is None:  # a signal: one row of pixels
            shape = (1, x.shape[1], 1) if channels_last(self.layout) else (1, 1, x.shape[1])
        sizes = tuple(integer(name, "image_shape", length, 1) for length in shape)
        if len(sizes) != 3 or np.prod(sizes) != x.shape[1]:
            raise ValueError(
                f"{name}: image_shape is {shape}, but needs three sizes whose product is the {x.shape[1]} features"
            )
        return x.reshape(-1, *sizes)

    def _outputs_of(self, x: Any) -> Array:
        """What the network gives for images like those of the training."""
        check_is_fitted(self)
        images = self._images(validate_data(self, x, reset=False, allow_nd=True, dtype=np.float64))
        if images.shape[1:] != self.shape_:
            raise ValueError(
                f"{type(self).__name__}: X has images of shape {images.shape[1:]}, but was fitted with {self.shape_}"
            )
        return self._predicted(images)

    def _predicted(self, images: Array) -> Array:
        """The network's outputs in batches of one size, as another may take algorithms that round otherwise.

        So what is found for a sample does not depend on how many others there are; the last batch is filled up.
        """
        size = min(max(_MOST_NUMBERS // math.prod(images.shape[1:]), 1), _MOST_SAMPLES)
        whole = len(images) // size * size
        rest = images[whole:]
        parts = [self.net_.predict(images[:whole], batch_size=size)] if whole else []
        if len(rest):
            filled = np.concatenate([rest, np.repeat(rest[-1:], size - len(rest), axis=0)])
            parts.append(self.net_.predict(filled, batch_size=size)[: len(rest)])
        return np.concatenate(parts)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


_PARAMETERS = """
    Parameters
    ----------
    net : callable or Module, optional
        ``net(outputs)`` makes the network, as every function of `fastconv.nn.models` does; a network itself is copied,
        and trained further. By default two convolutions with poolings, and a dense layer.
    image_shape : (C, H, W) or, in NHWC, (H, W, C), optional
        What each row of a two-dimensional X is; by default a signal: one row of pixels of one channel. Not needed
        where X has the axes of images, ``(N, H, W)`` or four of them.
    epochs, batch_size : int
    optimizer : str or Optimiser
    learning_rate : float
        Of an optimiser that is named; any other has its own.
    augment : callable, optional
        As of `fastconv.nn.Module.fit`.
    layout : {"NCHW", "NHWC"}
    random_state : int, RandomState or None
        The same seed gives the same network.
    verbose : bool
        Whether to show the progress.
"""


class CNNClassifier(_base.ClassifierMixin, _Estimator):  # type: ignore[misc]
    __doc__ = f"""A convolutional network that tells classes, as an estimator of scikit-learn.
{_PARAMETERS}
    Attributes
    ----------
    net_ : Module
        The trained network.
    classes_ : (classes,) ndarray
    history_ : dict of str to list
        For each epoch ``loss`` and ``accuracy``.
    n_features_in_ : int
    shape_ : tuple of int
        That of an image.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.sklearn import CNNClassifier
    >>> x = np.random.default_rng(0).standard_normal((60, 1, 6, 6))
    >>> y = np.where(x[:, 0, :3].mean((1, 2)) > x[:, 0, 3:].mean((1, 2)), "above", "below")
    >>> model = CNNClassifier(epochs=20, random_state=0).fit(x, y)
    >>> bool(model.score(x, y) > 0.9), model.predict_proba(x[:3]).shape
    (True, (3, 2))
    """
    _loss = "cross_entropy"

    def fit(self, X: Any, y: Any) -> Self:
        """Train a network.

        Parameters
        ----------
        X : (N, features), (N, H, W) or (N, C, H, W) array_like
        y : (N,) array_like
            Labels of any kind.

        Returns
        -------
        CNNClassifier
        """
        x, y = validate_data(self, X, y, allow_nd=True, dtype=np.float64)
        check_classification_targets(y)
        images = self._images(x)
        self.shape_ = images.shape[1:]
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"CNNClassifier: y has one class, {self.classes_[0]}, but needs at least two")
        self._train(images, labels, len(self.classes_))
        return self

    def predict_proba(self, X: Any) -> Array:
        """The probability of each class.

        Parameters
        ----------
        X : array_like

        Returns
        -------
        (N, classes) ndarray
        """
        found: Array = fastconv.softmax(self._outputs_of(X), dim=1)
        return found

    def predict(self, X: Any) -> Array:
        """The most probable class of each sample.

        Parameters
        ----------
        X : array_like

        Returns
        -------
        (N,) ndarray
        """
        places = self._outputs_of(X).argmax(axis=1)
        found: Array = self.classes_[places]
        return found


class CNNRegressor(_base.RegressorMixin, _Estimator):  # type: ignore[misc]
    __doc__ = f"""A convolutional network that tells numbers, as an estimator of scikit-learn.

    Targets are brought to mean 0 and deviation 1 for the training.
{_PARAMETERS}
    Attributes
    ----------
    net_ : Module
        The trained network.
    history_ : dict of str to list
        For each epoch ``loss``.
    n_features_in_ : int
    shape_ : tuple of int
        That of an image.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.sklearn import CNNRegressor
    >>> x = np.random.default_rng(0).standard_normal((60, 1, 6, 6))
    >>> y = x[:, 0].mean((1, 2))
    >>> bool(CNNRegressor(random_state=0).fit(x, y).score(x, y) > 0.9)
    True
    """
    _loss = "mse"

    def fit(self, X: Any, y: Any) -> Self:
        """Train a network.

        Parameters
        ----------
        X : (N, features), (N, H, W) or (N, C, H, W) array_like
        y : (N,) or (N, outputs) array_like

        Returns
        -------
        CNNRegressor
        """
        x, y = validate_data(self, X, y, allow_nd=True, dtype=np.float64, multi_output=True, y_numeric=True)
        images = self._images(x)
        self.shape_ = images.shape[1:]
        targets = np.asarray(y, np.float64)
        self._outputs = targets.shape[1:]
        targets = targets.reshape(len(targets), -1)
        spread = targets.std(axis=0)
        self._mean, self._spread = targets.mean(axis=0), np.where(spread > 0, spread, 1.0)
        self._train(images, (targets - self._mean) / self._spread, targets.shape[1])
        return self

    def predict(self, X: Any) -> Array:
        """The numbers of each sample.

        Parameters
        ----------
        X : array_like

        Returns
        -------
        (N,) or (N, outputs) ndarray
        """
        outputs = self._outputs_of(X)
        found: Array = outputs * self._spread + self._mean
        return found.reshape(len(found), *self._outputs)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
