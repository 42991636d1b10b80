"""Runs beside each other: memorization against quality, over variants and seeds."""
