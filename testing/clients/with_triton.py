"""The package `tritonclient`, which speaks the Open Inference Protocol."""

import csv
import os
from pathlib import Path

import numpy
import tritonclient.http as triton
from place import KEY, URL, raised

# What the model of the example answers to cases that it has not seen, and the cases.
EXPECTED = Path(os.environ["SITE_EXPECTED"])
CASES = Path(os.environ["SITE_CASES"])
DIFFERENCE_MAX = 1e-6
MODEL = "tumour-risk"


def client(**more):
    return triton.InferenceServerClient(URL.removeprefix("http://"), **more)


def headers(key=KEY):
    # The client writes into the headers that it is given, and they are good for one call.
    return {"authorization": f"Bearer {key}"}


def rows_of(features, is_binary=True):
    rows = triton.InferInput("features", list(features.shape), "FP32")
    rows.set_data_from_numpy(features, binary_data=is_binary)
    return [rows]


FEATURES = numpy.loadtxt(CASES, delimiter=",", skiprows=1)[1::2, :-1].astype("float32")
with open(EXPECTED) as file:
    REFERENCE = list(csv.DictReader(file))


def it_is_told_of_the_model():
    site = client()
    assert site.is_server_live() and site.is_server_ready()
    assert site.is_model_ready(MODEL, headers=headers())
    assert not site.is_model_ready("nowhere", headers=headers())
    assert site.get_server_metadata(headers=headers())["name"] == "isonomy"
    told = site.get_model_metadata(MODEL, headers=headers())
    assert [it["name"] for it in told["inputs"]] == ["features"], told
    return [it["name"] for it in told["outputs"]]


def it_infers(names):
    chances = numpy.array([float(row["malignant_onnxruntime"]) for row in REFERENCE])
    site = client()
    for is_binary in (True, False):
        wanted = [triton.InferRequestedOutput(name, binary_data=is_binary) for name in names]
        for version in ("", "1"):
            rows = rows_of(FEATURES, is_binary)
            answer = site.infer(MODEL, rows, version, wanted, request_id="7", headers=headers())
            labels, found = (answer.as_numpy(name) for name in names)
            labels = [it.decode() if isinstance(it, bytes) else it for it in labels]
            assert answer.get_response()["id"] == "7"
            assert labels == [row["label"] for row in REFERENCE]
            assert abs(found[:, 1] - chances).max() < DIFFERENCE_MAX
    # Without a word on the outputs all of them come as bytes.
    answer = site.infer(MODEL, rows_of(FEATURES[:1]), headers=headers())
    assert answer.as_numpy(names[1]).shape == (1, 2)


def it_asks_many_at_once():
    site = client(concurrency=4)
    asked = [site.async_infer(MODEL, rows_of(FEATURES[at : at + 1]), headers=headers()) for at in range(8)]
    chances = [it.get_result().as_numpy("probabilities")[0, 1] for it in asked]
    wanted = [float(row["malignant_onnxruntime"]) for row in REFERENCE[:8]]
    assert abs(numpy.array(chances) - wanted).max() < DIFFERENCE_MAX


def it_is_refused():
    site = client()
    ask = lambda model, rows, key=KEY: lambda: site.infer(model, rows, headers=headers(key))
    error = raised(triton.InferenceServerException, ask(MODEL, rows_of(FEATURES[:1, :29])))
    assert "[1, 29]" in error.message() and error.status() == "400", error
    error = raised(triton.InferenceServerException, ask("nowhere", rows_of(FEATURES[:1])))
    assert "nowhere" in error.message() and error.status() == "404", error
    error = raised(triton.InferenceServerException, ask(MODEL, rows_of(FEATURES[:1]), "of-somewhere-else"))
    assert error.status() == "401" and "of-somewhere" not in error.message(), error
    # It was not asked, so that it is not called wrong by the one that does not know it.
    wrong = rows_of(FEATURES[:1])
    wrong[0]._name = "colours"
    error = raised(triton.InferenceServerException, ask(MODEL, wrong))
    assert "colours" in error.message() and error.status() == "400", error


def it_does_not_wait_for_ever():
    impatient = client(network_timeout=0.2)
    raised(TimeoutError, lambda: impatient.infer("silent", rows_of(FEATURES[:1]), headers=headers()))
    # Its owner has said how long it may think.
    ask = lambda: client().infer("hasty", rows_of(FEATURES[:1]), headers=headers())
    error = raised(triton.InferenceServerException, ask)
    assert error.status() == "504", error


names = it_is_told_of_the_model()
it_infers(names)
it_asks_many_at_once()
it_is_refused()
it_does_not_wait_for_ever()
