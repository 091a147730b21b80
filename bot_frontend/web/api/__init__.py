"""`/api/v1`, for operators' programs and pages. Imported late: bot_frontend/web/lazy_api.py."""

PREFIX = "/api/v1"
