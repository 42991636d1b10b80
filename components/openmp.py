"""How OpenMP's threads wait for each other, set before torch loads its runtime."""

import os
from collections.abc import MutableMapping


def let_waiting_threads_sleep(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let threads that wait sleep, unless the user has said how they shall.

    By default they spin: where other processes want the cores too, a step of training took fifteen times as
    long as with one thread alone. What is computed is the same. The runtime reads the environment when it is
    loaded, so this comes before torch is imported, in the programs' entries.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & environment.keys():
        environment["OMP_WAIT_POLICY"] = "PASSIVE"
