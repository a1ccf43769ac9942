"""What is measured: one module for each family, and one table of all."""
