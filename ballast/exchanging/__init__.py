"""Exchange between currencies in the chat. Money and rates are dbcore/ledger/exchanges.py.

reading.py   what somebody writes behind /exchange
chat.py      /exchange and its buttons; chat_texts.py is what they say
"""
