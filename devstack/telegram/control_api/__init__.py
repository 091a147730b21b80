"""The control API: what a test, a benchmark or the chat page does to the local Telegram.

JSON in and out. Every request but GET carries `Content-Type: application/json`, which a foreign web page
cannot send unasked. Errors: `{"error": "<sentence>"}` with 400, 403, 404 or 409.

| request | body or query | answer |
|---|---|---|
| GET /control/health | | bot, data, pending_update_count, webhook, limits, counts |
| GET /control/users | limit | users |
| POST /control/users | first_name, id?, username?, last_name?, is_admin?, language_code?, started? | user |
| POST /control/users/many | count, first_id?, first_name?, started? | first_id, last_id, count |
| PATCH /control/users/{id} | first_name?, last_name?, username?, is_admin?, deactivated? | user |
| POST /control/users/{id}/block, /unblock | | update_id |
| GET /control/chats | user_id? | chats |
| POST /control/chats | title, member_ids, type?=group, id? | chat, update_id |
| POST /control/chats/{id}/members | member_ids | chat |
| POST /control/chats/{id}/bot | user_id, status: member, kicked or left | update_id |
| POST /control/chats/{id}/upgrade | | chat (the supergroup) |
| POST /control/chats/{id}/delete | | chat |
| POST /control/messages | user_id, text, chat_id?, reply_to_message_id? | message, update_id |
| (the same, with a file) | photo? or document? (base64), file_name?, text as caption | |
| PATCH /control/messages/{message_id} | user_id, text, chat_id? | update_id |
| GET /control/messages | chat_id?, after? (revision), limit?, wait_seconds? | messages, revision, as_of_revision |
| (the same, narrowed) | from_bot?, include_deleted?, latest? (the newest `limit`) | |
| POST /control/presses | user_id, message_id, callback_data, chat_id? | presses |
| (the same, odder) | deliveries?, same_query_id?, force? | |
| GET /control/callback_queries/{id} | wait_seconds? (until answered) | callback_query |
| GET /control/callback_queries | chat_id, limit? | callback_queries |
| POST /control/checkouts | user_id, invoice? or total_amount, currency?, payload? | pre_checkout_query_id |
| GET /control/checkouts/{id} | wait_seconds? (until answered) | checkout |
| POST /control/payments | the same, charge_id, refunded?, lost? (the bot gets no update) | message, update_id |
| POST /control/subscriptions | user_id, link, action: begin or renew (with charge_id, lost?), | update_id |
| | or what the subscriber does: cancel, resume; fail: they could not pay | |
| GET /control/users/{id}/subscriptions | | subscriptions |
| GET /control/invoice_link | link | link: its payload, price and period |
| GET /control/stars | | transactions, balance: Telegram's book of the bot's Stars |
| POST /control/stars | id, stars, nanostars?, partner (a TransactionPartner), outgoing? | |
| GET /control/commands | user_id, chat_id? | commands (the menu this user sees there) |
| GET /control/files/{file_id} | | the bytes |
| GET /control/updates | state?=all, pending or acknowledged, kind?, after? (seq), limit? | updates |
| GET /control/updates/pending | wait_seconds? (until there are none) | pending_update_count |
| POST /control/updates | update: any object | update_id |
| POST /control/updates/{update_id}/redeliver | | update_id |
| GET /control/requests | method?, chat_id?, outcome?, took_effect? | requests |
| (the same, in pieces) | after? (id), limit?, wait_seconds? | |
| GET /control/requests/counts | | counts by method, outcome, error_code, took_effect |
| GET /control/webhook_deliveries | after? (id), limit? | webhook_deliveries |
| GET, DELETE /control/faults; DELETE /control/faults/{id} | | faults; cleared |
| POST /control/faults | a fault, see faults.py | fault |
| GET, PUT /control/limits | any of enabled, overall_per_second, chat_per_second, ... | limits |
| POST /control/clock | advance_seconds | ahead_seconds, now |
| POST /control/reset | bot_settings? (webhook, commands, allowed updates too) | only the demo people are left |
| GET /control/events | chat_id?, user_id? | a stream of server-sent events |

`wait_seconds` (at most 60) holds the answer until there is something to say.
"""
