"""Sites, bonds, layers and contacts: where things are, before any physics."""
