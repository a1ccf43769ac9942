"""What is kept: the run document and the store."""
