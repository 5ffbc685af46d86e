"""Benchmarks of the whole hub, from outside: ``python -m hil.bench`` (or ``make bench``).

Every figure is measured on the rig: emulated modems on ptys, a real Mosquitto, the real hub as a process with its
defaults, every promise kept (each accept and each step is committed with ``synchronous=FULL``). Nothing is asserted:
on a shared machine absolute values move by a factor of two between runs, so compare ratios of one run.

* :mod:`hil.bench.figures`: what a figure is, and how the table looks.
* :mod:`hil.bench.measures`: one small function for each figure or pair of figures.
* :mod:`hil.bench.load`: clients that cost little themselves.
"""
