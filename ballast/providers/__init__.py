"""Providers that take payments beside Telegram: Crypto Pay, Stripe, and those that apps add.

provider.py     what an adapter is: the functions that an app implements
signatures.py   whether a webhook's body is the provider's
http.py         the HTTP client of adapters
crypto_pay.py   Crypto Pay
stripe.py       Stripe Checkout
orders.py       what a checkout promises, and what it costs
installed.py    those that are set up
door.py         what a provider sends to /pay/<name>, as a job
sweeping.py     the second leg: payments whose webhook never came
"""
