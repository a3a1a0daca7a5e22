"""The valve and the equations of motion, Eqs. (1)-(15)."""
