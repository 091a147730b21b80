"""A local Telegram: the Bot API over HTTP, with people a test or a browser can act for.

Start it with `python -m devstack.telegram --port 8081 --data DIR`.
"""
