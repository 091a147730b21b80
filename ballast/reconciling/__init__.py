"""Telegram's book of the bot's Stars compared with the ledger.

transactions.py   what a line of Telegram's book says
reconciler.py     reads the book, page by page, and hands in what the ledger lacks
record.py         what the pages and alarms know of it, in Redis
"""
