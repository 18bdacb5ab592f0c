"""Exports models as people export them, for the tests by hand and the benchmark of `inference`.

    pip install numpy scikit-learn skl2onnx onnx onnxruntime        # and torch, for the three networks
    python testing/models/export.py CASES.csv FOLDER

CASES.csv is the breast-cancer file of examples/tumour-screening. Each model comes with `NAME.json`: an input and
what onnxruntime answers to it.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier


def classic(x, y):
    """Name → (fitted model, options of the exporter)."""
    three = y + (x[:, 0] > 16)
    words = np.where(y == 0, "malignant", "benign")
    return {
        "logistic": (LogisticRegression(max_iter=10_000).fit(x, y), {}),
        "logistic-pipeline": (make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y), {"zipmap": False}),
        "logistic-words": (make_pipeline(StandardScaler(), LogisticRegression()).fit(x, words), {"zipmap": False}),
        "logistic-three": (make_pipeline(StandardScaler(), LogisticRegression()).fit(x, three), {"zipmap": False}),
        "forest": (RandomForestClassifier(100, random_state=1).fit(x, y), {"zipmap": False}),
        "forest-three": (RandomForestClassifier(20, random_state=1).fit(x, three), {"zipmap": False}),
        "forest-regressor": (RandomForestRegressor(50, random_state=1).fit(x[:, 1:], x[:, 0]), {}),
        "boosting": (GradientBoostingClassifier(random_state=1).fit(x, y), {"zipmap": False}),
        "boosting-three": (GradientBoostingClassifier(n_estimators=20, random_state=1).fit(x, three), {"zipmap": False}),
        "boosting-regressor": (GradientBoostingRegressor(random_state=1).fit(x[:, 1:], x[:, 0]), {}),
        "hist-boosting": (HistGradientBoostingClassifier(max_iter=50).fit(x, y), {"zipmap": False}),
        "tree": (DecisionTreeClassifier(random_state=1).fit(x, y), {"zipmap": False}),
        "mlp": (make_pipeline(StandardScaler(), MLPClassifier((64, 32), max_iter=500, random_state=1)).fit(x, y), {"zipmap": False}),
        "mlp-regressor": (make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(32,), max_iter=500, random_state=1)).fit(x[:, 1:], x[:, 0]), {}),
        "linear": (LinearRegression().fit(x[:, 1:], x[:, 0]), {}),
        "ridge-minmax": (make_pipeline(MinMaxScaler(), Ridge()).fit(x[:, 1:], x[:, 0]), {}),
        "normalized": (make_pipeline(Normalizer(), LogisticRegression()).fit(x, y), {"zipmap": False}),
        "pca-logistic": (make_pipeline(StandardScaler(), PCA(8), LogisticRegression()).fit(x, y), {"zipmap": False}),
        "svc": (make_pipeline(StandardScaler(), SVC(probability=True, random_state=1)).fit(x, y), {"zipmap": False}),
        "linear-svc": (make_pipeline(StandardScaler(), LinearSVC()).fit(x, y), {}),
        "bayes": (GaussianNB().fit(x, y), {"zipmap": False}),
        "isolation": (IsolationForest(random_state=1).fit(x), {}),
        # Two labels at once, one array of three axes.
        "forest-labels": (RandomForestClassifier(20, random_state=1).fit(x, np.stack([y, x[:, 0] > 16], 1)), {"zipmap": False}),
    }


def doubles(x, y):
    """What numpy's own numbers make of it: models in double width."""
    return {
        "logistic-double": make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y),
        "mlp-double": make_pipeline(StandardScaler(), MLPClassifier((16,), max_iter=500, random_state=1)).fit(x, y),
    }


def networks():
    """Name → (module, example input, whether the first axis is free)."""
    import torch
    from torch import nn

    torch.manual_seed(1)

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(1000, 64)
            layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True, activation="gelu", norm_first=True)
            self.encode = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.head = nn.Linear(64, 3)

        def forward(self, tokens):
            return self.head(self.encode(self.embed(tokens)).mean(1))

    mlp = nn.Sequential(nn.Linear(30, 128), nn.ReLU(), nn.Linear(128, 64), nn.GELU(), nn.Linear(64, 2), nn.Softmax(1))
    cnn = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(16 * 7 * 7, 10), nn.Softmax(1),
    )
    return {
        "torch-mlp": (mlp, torch.randn(4, 30)),
        "torch-cnn": (cnn, torch.randn(4, 1, 28, 28)),
        "torch-encoder": (Encoder(), torch.randint(0, 1000, (4, 16))),
    }


def answers(path, feed):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    outputs = {}
    for said, got in zip(session.get_outputs(), session.run(None, feed)):
        # A list of maps, which is what ZipMap makes, has no tensor.
        outputs[said.name] = None if isinstance(got, list) else tensor(got)
    return {"inputs": {name: tensor(value) for name, value in feed.items()}, "outputs": outputs}


def tensor(array):
    return {"shape": list(array.shape), "dtype": str(array.dtype), "data": array.ravel().tolist()}


def main(cases, folder):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows = np.loadtxt(cases, delimiter=",", skiprows=1)
    x, y = rows[:, :-1].astype(np.float32), rows[:, -1].astype(int)
    for name, (model, options) in classic(x, y).items():
        features = 29 if hasattr(model, "n_features_in_") and model.n_features_in_ == 29 else 30
        try:
            exported = to_onnx(
                model, initial_types=[("features", FloatTensorType([None, features]))],
                options={id(model): options} if options else None, target_opset={"": 21, "ai.onnx.ml": 3},
            )
        except Exception as failed:  # The exporter does not know every model of every scikit-learn.
            print(f"{name} cannot be exported: {type(failed).__name__}")
            continue
        path = folder / f"{name}.onnx"
        path.write_bytes(exported.SerializeToString())
        feed = {"features": x[:64, 30 - features:]}
        path.with_suffix(".json").write_text(json.dumps(answers(path, feed)))
    wide = x.astype(np.float64)
    for name, model in doubles(wide, y).items():
        path = folder / f"{name}.onnx"
        exported = to_onnx(
            model, initial_types=[("features", DoubleTensorType([None, 30]))],
            options={id(model): {"zipmap": False}}, target_opset={"": 21, "ai.onnx.ml": 3},
        )
        path.write_bytes(exported.SerializeToString())
        path.with_suffix(".json").write_text(json.dumps(answers(path, {"features": wide[:64]})))
    try:
        import torch
    except ImportError as missing:
        print(f"no networks: {missing}")
        return
    for name, (module, example) in networks().items():
        path = folder / f"{name}.onnx"
        module.eval()
        repeated = example.repeat(16, *[1] * (example.dim() - 1)).numpy()
        said = {"input_names": ["x"], "output_names": ["y"]}
        torch.onnx.export(module, (example,), path, **said, dynamic_axes={"x": {0: "batch"}}, dynamo=False, opset_version=17)
        path.with_suffix(".json").write_text(json.dumps(answers(path, {"x": repeated})))
        # The exporter that is usual since PyTorch 2.9.
        path = folder / f"{name}-new.onnx"
        torch.onnx.export(module, (example,), path, **said, dynamic_shapes=({0: torch.export.Dim("batch")},), external_data=False)
        path.with_suffix(".json").write_text(json.dumps(answers(path, {"x": repeated})))


if __name__ == "__main__":
    main(*sys.argv[1:])
