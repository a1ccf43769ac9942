"""Whether a kernel did all of its work: fill, poison, and verify every element on the device."""
