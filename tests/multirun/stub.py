"""Stands in for `arn train` in a job: takes its arguments, leaves what a training leaves, and takes no time.

Beside the runs lies `calls.txt`, a line for every start; a file `hold` beside them stops a stub, after its first
checkpoint, until the file is gone. `loss=fails` ends with status 2.
"""

import json
import math
import os
import sys
import time
from pathlib import Path

from arn.cli import _end_with

if os.environ.get("ARN_ENDS_WITH_PARENT"):
    _end_with(int(os.environ["ARN_ENDS_WITH_PARENT"]))
given = {one.partition("=")[0]: one.partition("=")[2].strip('"') for one in sys.argv[1:]}
run = Path(given.get("resume") or given["hydra.run.dir"])
resumed = "resume" in given
if resumed:
    given = json.loads((run / "config.yaml").read_text())
(run / "checkpoints").mkdir(parents=True, exist_ok=True)
shown = {key: os.environ.get(key) for key in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")}
line = {"run": run.name, "resumed": resumed, "seed": given.get("seed"), "pid": os.getpid(), **shown}
with (run.parent / "calls.txt").open("a") as calls:
    calls.write(json.dumps(line) + "\n")
if given.get("loss") == "bce_sum":
    sys.exit(2)
(run / "config.yaml").write_text(json.dumps(given))

rate = float(given.get("optimizer.lr", 1e-3))
for epoch in range(4):
    value = abs(math.log10(rate) + 3) + 0.1 / (epoch + 1)
    with (run / "validation.jsonl").open("a") as file:
        file.write(json.dumps({"step": epoch, "epoch": epoch, "val/mae": value}) + "\n")
    (run / "checkpoints" / "last.ckpt").write_text(str(epoch))
    while (run.parent / "hold").exists():
        time.sleep(0.05)
    # Slowly where the loss is bad, so that whoever reads along has time to give the trial up.
    time.sleep(0.5 if value > 0.6 else 0.0)
record = {
    "name": "stub",
    "seed": int(given.get("seed", 0)),
    "config_hash": os.environ.get("ARN_CONFIG_HASH"),
    "best": {"monitor": "val/mae", "value": value, "step": 4},
    "val": {"mae": value, "max_f": 0.5},
    "test": {"scenes": {"mae": value, "max_f": 0.5}},
}
(run / "metrics.json").write_text(json.dumps(record))
