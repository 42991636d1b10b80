"""The planted run."""

from tests.planted import planted as planted
