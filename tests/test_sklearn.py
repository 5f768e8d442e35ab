"""The estimators of `fastconv.sklearn`: scikit-learn's own checks, and what people do with estimators."""

import pickle

import numpy as np
import pytest

import fastconv.nn as nn

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import check_estimator

from fastconv.sklearn import CNNClassifier, CNNRegressor

pytestmark = pytest.mark.one_instruction_set


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.parametrize("estimator", [CNNClassifier, CNNRegressor])
def test_scikit_learns_checks(estimator):
    results = check_estimator(estimator())
    assert sum(result["status"] == "passed" for result in results) > 45
    assert {result["status"] for result in results} <= {"passed", "skipped"}


def bars(count=48, layout="NCHW"):
    """Images with a bright upper or lower half, and how much brighter it is."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((count, 1, 6, 4)), rng.uniform(-2, 2, count)
    x[:, :, :3] += y[:, None, None, None]
    return (x if layout == "NCHW" else np.moveaxis(x, 1, -1)), y


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_rows_and_images_are_the_same(layout):
    x, y = bars(layout=layout)
    named = np.where(y > 0, "above", "below")
    shape = x.shape[1:]
    options = {"epochs": 10, "random_state": 3, "layout": layout}
    of_images = CNNClassifier(**options).fit(x, named)
    of_rows = CNNClassifier(image_shape=shape, **options).fit(x.reshape(len(x), -1), named)
    np.testing.assert_array_equal(of_images.predict_proba(x), of_rows.predict_proba(x.reshape(len(x), -1)))
    of_planes = CNNClassifier(**options).fit(x.reshape(len(x), 6, 4), named)
    np.testing.assert_array_equal(of_images.predict(x), of_planes.predict(x.reshape(len(x), 6, 4)))
    assert of_images.score(x, named) > 0.9
    assert list(of_images.classes_) == ["above", "below"]
    assert len(of_images.history_["accuracy"]) == 10


def test_networks_of_ones_own():
    x, y = bars()
    named = (y > 0).astype(int)
    made = CNNClassifier(nn.models.resnet20, epochs=1, random_state=0).fit(x, named)
    assert made.net_[-1].weight.shape == (2, 64)
    trained = nn.Sequential(nn.Flatten(), nn.Dense(2)).build(x.shape, rng=0)
    before = trained.state_dict()
    found = CNNClassifier(trained, epochs=2, random_state=0, optimizer=nn.SGD(0.1, 0.9)).fit(x, named)
    np.testing.assert_array_equal(before["1.weight"], trained.state_dict()["1.weight"])
    assert np.abs(found.net_[1].weight - before["1.weight"]).max() > 1e-3
    with pytest.raises(TypeError, match="CNNClassifier: net gave int, but needs to give a network"):
        CNNClassifier(lambda outputs: outputs).fit(x, named)


def test_an_optimiser_serves_many_trainings():
    """Each has a copy: with the moments of an earlier one, the second would differ."""
    x, y = bars()
    model = CNNRegressor(epochs=2, random_state=0, optimizer=nn.Adam(1e-2))
    first = model.fit(x, y).predict(x)
    np.testing.assert_array_equal(first, model.fit(x, y).predict(x))
    np.testing.assert_array_equal(first, pickle.loads(pickle.dumps(model)).predict(x))
    np.testing.assert_array_equal(first, clone(model).fit(x, y).predict(x))


def test_regression_of_several_numbers():
    x, y = bars()
    both = np.stack([100 * y + 7, -y], axis=1)
    model = CNNRegressor(random_state=0).fit(x, both)
    assert model.predict(x).shape == both.shape
    assert model.score(x, both) > 0.9
    assert CNNRegressor(random_state=0, epochs=1).fit(x, y).predict(x).shape == y.shape


def test_what_is_refused():
    x, y = bars()
    rows = x.reshape(len(x), -1)
    with pytest.raises(
        ValueError, match=r"image_shape is \(1, 5, 5\), but needs three sizes whose product is the 24"
    ):
        CNNRegressor(image_shape=(1, 5, 5)).fit(rows, y)
    with pytest.raises(ValueError, match="CNNRegressor: X has 5 dimensions"):
        CNNRegressor().fit(x[..., None], y)
    with pytest.raises(ValueError, match="y has one class, 1, but needs at least two"):
        CNNClassifier().fit(rows, np.ones(len(x), int))
    model = CNNRegressor(epochs=1).fit(x, y)
    with pytest.raises(
        ValueError, match=r"X has images of shape \(1, 4, 4\), but was fitted with \(1, 6, 4\)"
    ):
        model.predict(x[:, :, :4])


def test_pipelines_searches_and_scores():
    x, y = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(x, y, train_size=400, random_state=0, stratify=y)
    options = {"image_shape": (1, 8, 8), "epochs": 6, "random_state": 0}
    model = make_pipeline(MinMaxScaler(), CNNClassifier(**options))
    search = GridSearchCV(model, {"cnnclassifier__learning_rate": [1e-5, 3e-3]}, cv=2).fit(x, y)
    assert search.best_params_ == {"cnnclassifier__learning_rate": 3e-3}
    assert search.score(x_test, y_test) > 0.85
    scores = cross_val_score(model, x, y, cv=2)
    assert scores.min() > 0.8


@pytest.mark.parametrize("estimator", [CNNClassifier, CNNRegressor])
@pytest.mark.parametrize("size", [(6, 4), (40, 60)])
def test_predictions_do_not_depend_on_the_batch(estimator, size, monkeypatch):
    """Batches of other sizes may be done by other algorithms, so that there is but one size."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((45, 1, *size)), rng.integers(0, 2, 45)
    model = estimator(epochs=1, random_state=0).fit(x[:20], y[:20])
    batches, original = set(), model.net_.predict

    def predict(images, batch_size):
        batches.update((batch_size, len(images) % batch_size))
        return original(images, batch_size=batch_size)

    monkeypatch.setattr(model.net_, "predict", predict)
    called = model.predict_proba if estimator is CNNClassifier else model.predict
    whole = called(x)
    for part in (slice(0, 1), slice(3, 4), slice(2, 13), slice(44, 45), slice(0, 40)):
        np.testing.assert_allclose(called(x[part]), whole[part], rtol=1e-12)
    assert len(batches) == 2
    assert 0 in batches
