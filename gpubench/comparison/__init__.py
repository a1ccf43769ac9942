"""What a figure means: against theory, references, and other runs."""
