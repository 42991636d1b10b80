"""Benchmarks: each prints a ratio of two ways that were measured in one run, and writes nothing else."""
