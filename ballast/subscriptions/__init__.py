"""Subscriptions by Telegram Stars. The money's side is dbcore/ledger/star_subscriptions.py, plans are
dbcore/subscription_plans.py, what Telegram is asked is ballast/telegram/subscriptions.py.

invoices.py   what stands in the payload of a subscription's invoice
offering.py   whether a plan can be subscribed to, and a link by which anybody can
charges.py    what a report of a payment says of a subscription
known.py      whether somebody is subscribed, also while the database is unavailable
changing.py   an operator has a renewal cancelled, or allowed again
chat.py       /subscribe and /subscription; chat_texts.py is what they say
"""
