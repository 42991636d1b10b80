"""evaluate: generated images and the data set -> the report, with the released model beside it."""
