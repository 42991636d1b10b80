"""Deletion requests: recorded, looked up in what a root holds, what they cost a run, and the data sets that go."""
