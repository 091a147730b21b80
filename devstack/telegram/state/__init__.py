"""What the local Telegram remembers, in one SQLite file."""
