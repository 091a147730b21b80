"""The name that ballast/messages.py had in release 0.1, for code that imports it from here."""

from ballast.messages import Button, Message

__all__ = ["Button", "Message"]
