"""Trains `tumour-risk.onnx` and writes down what it answers. Runs offline.

    pip install numpy==2.4.6 scikit-learn==1.9.1 skl2onnx==1.20.0 onnx==1.23.2 onnxruntime==1.32.0
    python testing/models/tumour-risk/train.py

Fitted on the odd-numbered cases (1st, 3rd, …) of examples/tumour-screening/cases.csv, as the model in that folder is;
`expected.csv` has the answers to the even-numbered ones, by scikit-learn in double width and by onnxruntime.
"""

from pathlib import Path

import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).parent
CASES = HERE.parents[2] / "examples" / "tumour-screening" / "cases.csv"


def main():
    rows = np.loadtxt(CASES, delimiter=",", skiprows=1)
    features = rows[:, :-1].astype(np.float32)
    classes = np.where(rows[:, -1] == 0, "malignant", "benign")
    fit, check = slice(0, None, 2), slice(1, None, 2)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.5, max_iter=10_000)).fit(features[fit], classes[fit])
    exported = to_onnx(
        model, initial_types=[("features", FloatTensorType([None, 30]))],
        options={id(model): {"zipmap": False}}, target_opset={"": 21, "ai.onnx.ml": 3}, name="tumour-risk",
    )
    path = HERE / "tumour-risk.onnx"
    path.write_bytes(exported.SerializeToString())

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    labels, probabilities = session.run(None, {"features": features[check]})
    fitted = model.predict_proba(features[check])
    assert (labels == model.predict(features[check])).all()
    with open(HERE / "expected.csv", "w", newline="\n") as file:
        file.write("case,class,label,malignant_scikit_learn,malignant_onnxruntime\n")
        for place, (label, double, single) in enumerate(zip(labels, fitted[:, 1], probabilities[:, 1])):
            case = 2 * place + 2
            file.write(f"{case},{classes[case - 1]},{label},{double:.9f},{single:.9f}\n")
    print(f"{(labels == classes[check]).sum()} of {len(labels)} right")


if __name__ == "__main__":
    main()
