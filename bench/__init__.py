"""Benchmarks: ratios inside one run on one machine, on the real product."""
