"""What people are told and where it goes: their languages, notices while a job waits, markup."""
