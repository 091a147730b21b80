"""Promises of every module with SQL, once more where Ballast has a schema of its own and `search_path` is empty: a name
without its schema fails here.
"""
# ruff: noqa: F401  pytest collects what is imported

from __future__ import annotations

from tests.dbcore.test_admin_actions import (
    test_a_broadcasts_order_is_written_down_with_it_and_only_where_it_is_obeyed,
    test_the_last_ones_come_by_when_they_were_ordered,
)
from tests.dbcore.test_broadcast_deliveries import (
    test_pages_hold_everybody_once_in_order,
    test_what_ended_long_ago_is_forgotten_bit_by_bit_and_its_counts_stay,
    test_what_is_older_than_two_days_or_deleted_already_is_not_found_to_delete,
)
from tests.dbcore.test_broadcast_leases import (
    audience,
    test_a_bad_payload_halts_it_and_what_is_left_goes_on_when_it_is_resumed,
    test_one_word_sends_the_unknown_again_once_however_often_it_comes,
)
from tests.dbcore.test_broadcasts import (
    test_a_draft_can_be_changed_until_it_begins,
    test_a_scheduled_one_that_was_paused_is_scheduled_again,
    test_every_part_of_a_segment_must_hold,
    test_how_far_it_is_is_read_without_whom_it_is_for,
)
from tests.dbcore.test_history import test_pages_follow_each_other_without_gap_or_overlap
from tests.dbcore.test_ledger import (
    test_a_transfer_moves_money_once,
    test_an_adjustment_credits_and_debits_against_the_house,
)
from tests.dbcore.test_payments import test_a_charge_is_recorded_once_however_often_it_is_said
from tests.dbcore.test_pending_adjustments import (
    test_a_balance_that_changed_since_the_card_is_told_at_confirmation,
    test_a_day_is_limited_for_each_admin_credits_and_debits_alike,
    test_decided_together_each_has_the_outcome_it_would_have_alone,
)
from tests.dbcore.test_pending_transfers import (
    test_a_press_in_time_counts_however_long_the_database_was_away,
    test_all_that_waits_is_cancelled_once_and_nothing_else,
    test_the_release_before_presses_by_the_function_it_knows,
)
from tests.dbcore.test_records import (
    test_a_failure_is_recorded_once_for_its_job,
    test_a_missing_table_is_not_ok,
    test_a_probe_looks_and_is_written_down,
    test_the_list_is_bounded_and_oldest_first,
)
from tests.dbcore.test_users import (
    test_a_known_user_is_answered_on_a_read_only_server,
    test_a_username_belongs_to_whom_telegram_showed_it_with_last,
    test_users_read_together_are_what_they_are_one_by_one,
    test_who_writes_has_not_blocked_us,
)
