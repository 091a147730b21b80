"""Payouts: what pays withdrawals, and how one is brought to its end. The money's side is dbcore/ledger/withdrawals.py.

adapter.py    what an adapter is: the functions that an app's provider implements to pay out
manual.py     a person pays, and says so
installed.py  the one that is set up
paying.py     one payout, from the worker that takes it to what became of it
record.py     what the pages and alarms know of those that are open, in Redis
words.py      an operator's word, with who is told of it
chat.py       /withdraw and /withdrawals; chat_texts.py is what they say
"""
