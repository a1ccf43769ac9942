"""Where bytes move: the seam ``Device`` and one module for each runtime."""
