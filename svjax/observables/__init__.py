"""What is read off a state."""
