"""What every process of Ballast sets up or holds."""
