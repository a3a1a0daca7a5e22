"""Runs and sweeps: plan, loop, dataset, resume."""
