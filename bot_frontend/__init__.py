"""`python -m bot_frontend` imports this before all else."""

from ballast.process.garbage import put_off_collection

put_off_collection()
