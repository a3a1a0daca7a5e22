"""Data on disk, whole and safe; knows no runs."""
