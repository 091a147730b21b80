"""What people are told and where it goes: their languages, notices while a job waits, references, markup."""
