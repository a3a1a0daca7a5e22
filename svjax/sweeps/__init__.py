"""Many points at once: grids of parameters, their storage and how they go on."""
