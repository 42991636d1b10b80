"""The method of the papers, free of stores and runs. The README maps their sections and equations to functions."""
