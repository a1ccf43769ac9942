"""One comparison, in several renderings."""
