"""pack: a share of the images, before prepare makes a data set of all shares."""
