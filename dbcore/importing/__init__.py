"""Imports users and their balances from another bot's database or file.

sources   what is read: CSV, JSON lines or a query, row by row
values    what one value means, or what is wrong with it
reading   a row as a person or a movement; every invalid value is reported with its line
spool     what was read, in a temporary file, so that memory does not grow
booking   batches into users and the ledger, each in one transaction (batches); its statements: booking_sql
undoing   linked reversals of all transfers of a source
booked_transfers   which sources have something booked, and how much
"""
