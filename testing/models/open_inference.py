"""Asks a site at work what tumour-risk answers, by Triton's own client, as JSON and as bytes.

    pip install 'tritonclient[http]==2.73.0' numpy
    isonomy models add tumour-risk@1 testing/models/tumour-risk/tumour-risk.onnx
    python testing/models/open_inference.py 127.0.0.1:7474 KEY
"""

import csv
import sys
from pathlib import Path

import numpy
import tritonclient.http as triton

HERE = Path(__file__).parent
CASES = HERE.parents[1] / "examples" / "tumour-screening" / "cases.csv"
DIFFERENCE_MAX = 1e-6


def main():
    address, key = sys.argv[1:]
    headers = {"authorization": f"Bearer {key}"}
    client = triton.InferenceServerClient(address)
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("tumour-risk", headers=headers)
    print(client.get_server_metadata(headers=headers))
    print(client.get_model_metadata("tumour-risk", headers=headers))
    features = numpy.loadtxt(CASES, delimiter=",", skiprows=1)[1::2, :-1].astype("float32")
    with open(HERE / "tumour-risk" / "expected.csv") as file:
        expected = list(csv.DictReader(file))
    reference = numpy.array([float(row["malignant_onnxruntime"]) for row in expected])
    # The client writes into the headers that it is given, and they are good for one call.
    for is_binary in (True, False):
        rows = triton.InferInput("features", list(features.shape), "FP32")
        rows.set_data_from_numpy(features, binary_data=is_binary)
        names = [output["name"] for output in client.get_model_metadata("tumour-risk", headers=headers)["outputs"]]
        wanted = [triton.InferRequestedOutput(name, binary_data=is_binary) for name in names]
        for version in ("", "1"):
            answer = client.infer("tumour-risk", [rows], version, wanted, request_id="7", headers=dict(headers))
            labels, chances = (answer.as_numpy(name) for name in names)
            labels = [it.decode() if isinstance(it, bytes) else it for it in labels]
            assert answer.get_response()["id"] == "7"
            assert labels == [row["label"] for row in expected]
            assert abs(chances[:, 1] - reference).max() < DIFFERENCE_MAX
        print("binary" if is_binary else "JSON", len(labels), "rows,", abs(chances[:, 1] - reference).max())
    # Without a word on the outputs all of them come as bytes.
    rows = triton.InferInput("features", [1, 30], "FP32")
    rows.set_data_from_numpy(features[:1], binary_data=True)
    assert client.infer("tumour-risk", [rows], headers=dict(headers)).as_numpy(names[1]).shape == (1, 2)
    try:
        rows = triton.InferInput("features", [1, 29], "FP32")
        rows.set_data_from_numpy(features[:1, :29])
        client.infer("tumour-risk", [rows], headers=dict(headers))
    except triton.InferenceServerException as refused:
        print("refused:", refused)
    else:
        raise AssertionError("a row is too short")


if __name__ == "__main__":
    main()
