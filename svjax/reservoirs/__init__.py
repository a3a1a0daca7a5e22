"""What the leads are made of: their Fermi functions, bands and levels."""
