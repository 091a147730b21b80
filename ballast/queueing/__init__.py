"""Jobs on their way to a worker: envelopes, queues, pauses and drains, where each job is, and those that failed."""
