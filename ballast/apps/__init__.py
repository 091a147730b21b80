"""What authors register, how it is found, and what runs it."""
