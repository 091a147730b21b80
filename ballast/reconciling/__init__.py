"""The books of others compared with the ledger: Telegram's of the bot's Stars, and what other providers list.

transactions.py   what a line of Telegram's book says
reconciler.py     reads the book, page by page, and hands in what the ledger lacks
record.py         what the pages and alarms know of it, in Redis
providers.py      reads what a provider lists of payments; provider_record.py is what is known of it in Redis
"""
