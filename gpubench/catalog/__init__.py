"""What memory should reach: technologies, boards, others' measurements, and the arithmetic."""
