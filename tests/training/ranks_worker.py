"""Trains the same on 1, 2 and 4 processes: python ranks_worker.py FOLDER key=value ... -> FOLDER/{1,2,4}.

Imported once and forked, because an import costs more than the training. The ranks meet as those of torchrun do.
"""

import os
import socket
import sys
import traceback

from lightning_utilities.core.rank_zero import rank_zero_only

import arn.verbs.train  # noqa: F401, before the fork
from arn.cli import main


def rank(number: int, world: int, port: int, arguments: list[str]) -> int:
    if world > 1:
        place = {"LOCAL_RANK": number, "NODE_RANK": 0, "WORLD_SIZE": world, "MASTER_PORT": port}
        os.environ |= {key: str(value) for key, value in place.items()} | {"MASTER_ADDR": "127.0.0.1"}
        rank_zero_only.rank = number
    return main(arguments)


folder, *overrides = sys.argv[1:]
for world in (1, 2, 4):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = ["train", *overrides, "trainer=ddp_cpu", f"trainer.devices={world}", f"hydra.run.dir={folder}/{world}"]
    children = []
    for number in range(world):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                status = rank(number, world, port, arguments)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        children.append(child)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    if any(statuses):
        sys.exit(f"{world} ranks ended with {statuses}")
