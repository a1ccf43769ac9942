"""Device code: one source for each family, under a small prelude for each runtime."""
