"""Makes backups that prove themselves, and restores them.

archive    one file with a dump, a manifest and checksums, and what is read from it again
sealing    encrypted for a key that this machine does not have
stores     where backups are kept, and what counts there
making     dump, pack, seal, prove, store: in this order
restoring  fetch, open, check, restore
"""
