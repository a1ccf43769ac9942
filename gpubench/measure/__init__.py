"""How it is measured: sampling, stopping, statistics, validity."""
