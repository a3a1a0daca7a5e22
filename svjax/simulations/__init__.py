"""Runs: their plan, loop, dataset and report."""
