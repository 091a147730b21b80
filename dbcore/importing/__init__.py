"""Bringing people and their balances out of another bot's database or file.

sources   what is read: CSV, JSON lines or a query, row by row
values    what one value means, or what is wrong with it
reading   a row as a person or a movement; everything wrong is reported with its line
spool     what was read, in a temporary file, so that memory stays flat
booking   batches into users and the ledger, each in one transaction
undoing   linked reversals of all that a source brought
"""
