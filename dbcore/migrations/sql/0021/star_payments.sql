-- As in 0017, and a refund that this bot asked for ends here, by whichever report of it comes first: the money that was
-- held for it is what is taken.
CREATE OR REPLACE FUNCTION ballast.ledger_stars(
    p_refunded boolean, p_charge_id text, p_fingerprint text,
    p_telegram_id bigint, p_username text, p_first_name text, p_language_code text,
    p_stars bigint, p_amount bigint, p_currency text, p_payload text, p_said_at timestamptz,
    OUT r_status text, OUT r_reason text, OUT r_payment_id bigint, OUT r_transfer_id bigint,
    OUT r_balance_after bigint, OUT r_balance_now bigint, OUT r_version bigint
) LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    v_stars bigint := ballast.ledger_system_account('stars', p_currency);
    v_payer record;
    v_post record;
    v_refund record;
BEGIN
    SELECT * INTO v_payer FROM ballast.users_touch(p_telegram_id, p_username, p_first_name, p_currency, p_language_code);
    SELECT * INTO v_post FROM ballast.ledger_post(
        'star_payment:' || p_charge_id, p_fingerprint, v_stars, v_payer.r_account_id, p_amount, p_currency,
        'star_payment', '', 'telegram', NULL);
    IF v_post.r_status = 'applied' THEN
        INSERT INTO ballast.star_payments (charge_id, user_id, stars, amount, currency, payload, transfer_id, paid_at)
        VALUES (p_charge_id, v_payer.r_user_id, p_stars, p_amount, p_currency, p_payload, v_post.r_transfer_id, p_said_at);
    END IF;
    r_balance_after := v_post.r_to_balance;
    IF p_refunded AND v_post.r_reason IS NULL THEN
        -- What we asked for ourselves, in the order in which refund_decide locks.
        PERFORM FROM ballast.star_payments p WHERE p.charge_id = p_charge_id FOR NO KEY UPDATE;
        FOR v_refund IN
            SELECT r.id, r.hold_id FROM ballast.star_refunds r JOIN ballast.star_payments p ON p.id = r.star_payment_id
             WHERE p.charge_id = p_charge_id AND r.status = 'asked' FOR NO KEY UPDATE OF r
        LOOP
            IF v_refund.hold_id IS NOT NULL THEN
                PERFORM ballast.ledger_end_hold('hold:refunded:' || v_refund.id, '', v_refund.hold_id, p_currency, false,
                                                NULL, NULL, NULL, 'telegram');
            END IF;
            UPDATE ballast.star_refunds SET status = 'done', ended_at = clock_timestamp() WHERE id = v_refund.id;
        END LOOP;
        SELECT * INTO v_post FROM ballast.ledger_post(
            'star_refund:' || p_charge_id, p_fingerprint, v_payer.r_account_id, v_stars, p_amount, p_currency,
            'star_refund', '', 'telegram', NULL);
        IF v_post.r_status = 'applied' THEN
            UPDATE ballast.star_payments SET refund_transfer_id = v_post.r_transfer_id, refunded_at = p_said_at
             WHERE charge_id = p_charge_id;
        END IF;
        r_balance_after := v_post.r_from_balance;
    END IF;
    r_status := v_post.r_status;
    r_reason := v_post.r_reason;
    r_transfer_id := v_post.r_transfer_id;
    SELECT s.id INTO r_payment_id FROM ballast.star_payments s WHERE s.charge_id = p_charge_id;
    SELECT a.balance, a.version INTO r_balance_now, r_version FROM ballast.accounts a WHERE a.id = v_payer.r_account_id;
END
$$;
