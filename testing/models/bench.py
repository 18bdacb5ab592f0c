"""Our runtime beside onnxruntime, in turn, on models of export.py.

    cargo build --release -p isonomy-inference --example bench
    python testing/models/bench.py target/release/examples/bench FOLDER [ROUNDS]

Both with one thread, and onnxruntime with all of them, too. Prints a table of medians of the rounds, in microseconds.
"""

import json
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import onnxruntime

LONG_ENOUGH = 0.3


def theirs(path, rows, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    said = json.loads(path.with_suffix(".json").read_text())["inputs"]
    feed = {name: np.array(it["data"], it["dtype"]).reshape(it["shape"])[:rows] for name, it in said.items()}
    session.run(None, feed)
    times, end = [], time.perf_counter() + LONG_ENOUGH
    while time.perf_counter() < end:
        start = time.perf_counter()
        session.run(None, feed)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def main(ours, folder, rounds=3):
    measured = defaultdict(list)
    for _ in range(int(rounds)):
        for line in subprocess.run([ours, folder], check=True, capture_output=True, text=True).stdout.splitlines():
            said = json.loads(line)
            measured[said["model"], said["rows"], "ours"].append(said["p50"])
        for path in sorted(Path(folder).glob("*.onnx")):
            for rows in (1, 64):
                for threads, who in ((1, "theirs"), (0, "theirs, all threads")):
                    measured[path.stem, rows, who].append(theirs(path, rows, threads))
    print(f"onnxruntime {onnxruntime.__version__}")
    print("| model | rows | ours, µs | onnxruntime, µs | all threads, µs | ours / theirs |")
    print("|---|---:|---:|---:|---:|---:|")
    for model, rows in sorted({key[:2] for key in measured}):
        one, two, three = (statistics.median(measured[model, rows, who]) for who in ("ours", "theirs", "theirs, all threads"))
        print(f"| {model} | {rows} | {one:.1f} | {two:.1f} | {three:.1f} | {one / two:.2f} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
