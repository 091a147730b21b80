"""The operators' desk: people, found and shown, and what an operator does about one.

person.py     somebody with their account, as lists and the card show them
search.py     from a name, an id, a transfer's number, a key or a charge to people
card.py       everything of one person that is small; broadcasts received; what waits
movements.py  their entries, filtered, a page at a time by key
refusals.py   what failed, and why
reasons.py    the ledger's reasons in words
lists.py      all users, all transfers, filtered, a page at a time by key
holds.py      money that is held, filtered, a page at a time by key
acts.py       credit, debit, reverse, freeze, unfreeze, erase, post and void a hold: each once by its id, with its row
              in the audit log
"""
