"""`sbatch`, `srun`, `sacct` and `scancel` of a cluster of one node, by the name it is called with.

`sbatch` keeps the script and runs the tasks of its array one after the other, in the background and with the variables
that SLURM gives them. State lies in the folder that ARN_TEST_SLURM names.
"""

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

STATE = Path(os.environ["ARN_TEST_SLURM"])
JOB = "100"


def sbatch(script):
    number = len(list(STATE.glob("*.sh")))
    text = Path(script).read_text()
    taken = [key for key in os.environ if key.startswith(("SLURM_", "SBATCH_")) and key != "SLURM_CONF"]
    (STATE / "environment").write_text(" ".join(taken))
    if "--partition=none" in text:
        sys.exit("sbatch: error: invalid partition specified: none")
    (STATE / f"{number}.sh").write_text(text)
    job = str(int(JOB) + number)
    array = re.search(r"--array=0-(\d+)", text)
    tasks = [] if array is None else [str(task) for task in range(int(array.group(1)) + 1)]
    (STATE / f"{job}.tasks").write_text(" ".join(tasks))
    subprocess.Popen(
        [sys.executable, __file__, "tasks", script, job, *tasks],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    print(f"Submitted batch job {job}")


def tasks(script, job, *numbers):
    for number in numbers or [None]:
        own = {"SLURM_JOB_ID": job, "SLURM_NTASKS": "1", "SLURM_JOB_NUM_NODES": "1", "SLURM_NODEID": "0"}
        own |= {"SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
        if number is not None:
            own |= {"SLURM_ARRAY_JOB_ID": job, "SLURM_ARRAY_TASK_ID": number, "SLURM_JOB_ID": str(int(job) + 1000)}
        subprocess.run(["bash", script], env=os.environ | own, check=False)


def srun(*arguments):
    given = list(arguments)
    files = {}
    while given[0].startswith("-"):
        option = given.pop(0)
        if option in ("--output", "--error"):
            files[option] = given.pop(0)
    names = {"%A": "SLURM_ARRAY_JOB_ID", "%a": "SLURM_ARRAY_TASK_ID", "%j": "SLURM_JOB_ID", "%t": "SLURM_PROCID"}
    for option, name in files.items():
        for sign, variable in names.items():
            name = name.replace(sign, os.environ.get(variable, ""))
        files[option] = name
        Path(name).parent.mkdir(parents=True, exist_ok=True)
    with open(files["--output"], "a") as out, open(files["--error"], "a") as err:
        sys.exit(subprocess.run(given, stdout=out, stderr=err, check=False).returncode)


def sacct(*arguments):
    print("JobID|State|NodeList")
    for job in (value for option, value in pairwise(arguments) if option == "-j"):
        for task in (STATE / f"{job}.tasks").read_text().split() or [None]:
            print(f"{job}|RUNNING|node" if task is None else f"{job}_{task}|RUNNING|node")


def scancel(*arguments):
    pass


if __name__ == "__main__":
    name = Path(sys.argv[0]).name
    called, rest = (sys.argv[1], sys.argv[2:]) if name.endswith(".py") else (name, sys.argv[1:])
    {"sbatch": sbatch, "tasks": tasks, "srun": srun, "sacct": sacct, "scancel": scancel}[called](*rest)
