"""Subscriptions by Telegram Stars. The money's side is dbcore/ledger/star_subscriptions.py, plans are
dbcore/subscription_plans.py.

invoices.py   what stands in the payload of a subscription's invoice
links.py      a link by which anybody can subscribe; offering.py says to which plans
charges.py    what a report of a payment says of a subscription
known.py      whether somebody is subscribed, also while the database is unavailable
changing.py   Telegram asked to cancel a renewal, or to allow it again
chat.py       /subscribe and /subscription; chat_texts.py is what they say
"""
