"""`python -m tests.benchmarks [NAME ...]`: all benchmarks, or those named."""

import os
import sys
from argparse import ArgumentParser
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version

from unecho.components.openmp import let_waiting_threads_sleep
from unecho.components.run.records import processor

NAMES = (
    "training_step",
    "compiled_step",
    "sampling",
    "waiting_threads",
    "encoded_step",
    "prompt_measures",
    "neighbours",
    "search_scale",
    "audit",
    "descriptor",
    "aggregation",
    "assignments",
    "prepare_rate",
    "prepare_memory",
    "grouping",
    "batches",
    "streamed_shard",
    "engine",
    "jobs",
    "store_transfer",
    "moved_bytes",
    "gpu",
)


def main() -> None:
    parser = ArgumentParser(prog="python -m tests.benchmarks", description="Ratios of two ways, measured in turns.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(NAMES)} (default: all)")
    names = parser.parse_args().names or NAMES
    for name in names:
        if name not in NAMES:
            parser.error(f"'{name}' is not one of {', '.join(NAMES)}")
    let_waiting_threads_sleep()  # as the program does
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "diffusers", "numpy", "pillow"))
    print(f"{processor()}; Python {sys.version.split()[0]}, {libraries}; {datetime.now(UTC):%Y-%m-%d}")
    print(f"load average when it began: {os.getloadavg()[0]:.1f}")
    for name in names:
        module = import_module(f"tests.benchmarks.{name}")
        print(f"\n{name}: {(module.__doc__ or '').splitlines()[0]}", flush=True)
        module.benchmark()


if __name__ == "__main__":
    main()
