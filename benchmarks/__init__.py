"""Benchmarks: scripts that measure and write a result file; nothing imports them."""
