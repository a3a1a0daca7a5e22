"""States that repeat: electrons, and spins, under a bias, parameters or spins that are periodic in time."""
