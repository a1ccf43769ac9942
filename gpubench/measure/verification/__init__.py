"""Whether a kernel did all of its work: fill, poison, and check every element on the device."""
