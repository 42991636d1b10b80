"""Tests mirror the tree; whole runs, services and faults beside them."""
