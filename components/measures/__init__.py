"""The measures: memorization beside its floor, quality, intervals, the verdict; free of stores and runs."""
