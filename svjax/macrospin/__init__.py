"""Magnetic layers as rigid spins."""
