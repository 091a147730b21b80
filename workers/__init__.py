"""`celery -A workers …` imports this before all else of Ballast."""

from ballast.process.garbage import put_off_collection

put_off_collection()
