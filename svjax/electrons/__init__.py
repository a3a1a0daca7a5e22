"""Electrons at frozen spins."""
