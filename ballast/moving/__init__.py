"""`ballast move`: the database goes to another server while the bot runs (dbcore/moving has what is SQL).

pause        the fleet is held, by a lease: people are told that the bot is paused
mover        the steps, and what is said of each
from_backup  the steps where the old server is lost
gap          what a backup lacks
progress     how far a move is, for pages, metrics and `--status`
"""
