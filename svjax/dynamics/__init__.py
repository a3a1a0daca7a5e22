"""Motion, states of rest, and the modes about them."""
