"""Benchmarks: scripts that measure and write a result file; nothing imports them."""

from scenestyle.device import keep_freed_memory, let_idle_threads_sleep

let_idle_threads_sleep()  # here, since the programs import torch at once, and then it is too late
keep_freed_memory()
