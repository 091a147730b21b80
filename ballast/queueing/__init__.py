"""Jobs on their way to a worker: what they are wrapped in, which queue they wait in, and who stops or drains it."""
