"""Jobs that fail, and messages that are no jobs, on one bot that all these tests share. They may kill its workers."""
