"""A deterministic simulation of whole deployments: real folds, tasks, commits and runtimes on a fake Kafka and clock.

One seed is one run: the same faults at the same moments on any machine. `python -m tests.simulation --seed N -v` shows
one. Nothing is kept between runs.
"""
