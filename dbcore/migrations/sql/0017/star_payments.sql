-- Payments in Telegram Stars that were credited, once for each charge, and what became of them. `amount` is in minor units
-- of the currency.
CREATE TABLE ballast.star_payments (
    id                 bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT star_payments_pkey PRIMARY KEY,
    charge_id          text NOT NULL CONSTRAINT star_payments_charge_id_key UNIQUE,
    user_id            bigint NOT NULL CONSTRAINT star_payments_user_id_fkey REFERENCES ballast.users (id),
    stars              bigint NOT NULL,
    amount             bigint NOT NULL,
    currency           text NOT NULL,
    payload            text NOT NULL,
    transfer_id        bigint NOT NULL CONSTRAINT star_payments_transfer_id_fkey REFERENCES ballast.transfers (id),
    paid_at            timestamptz NOT NULL,
    refund_transfer_id bigint CONSTRAINT star_payments_refund_transfer_id_fkey REFERENCES ballast.transfers (id),
    refunded_at        timestamptz,
    created_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT star_payments_transfer_id_key UNIQUE (transfer_id),
    CONSTRAINT star_payments_refund_transfer_id_key UNIQUE (refund_transfer_id),
    CONSTRAINT star_payments_moves_something CHECK (stars > 0 AND amount > 0),
    CONSTRAINT star_payments_refund_has_time CHECK ((refund_transfer_id IS NULL) = (refunded_at IS NULL))
);

-- Books what Telegram says of a charge: that it was paid, from `stars` to the payer; or that it was refunded, back from
-- them, whatever they have left. The key is the charge's, so a report that comes again, from whatever update, is replayed.
-- A refund may overtake its payment, and says all that a payment does: then both are booked, and the payment is a replay.
CREATE FUNCTION ballast.ledger_stars(
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

CREATE TRIGGER star_payments_kept BEFORE DELETE ON ballast.star_payments
    FOR EACH ROW EXECUTE FUNCTION ballast.admin_actions_refuse_change();
CREATE TRIGGER star_payments_no_truncate BEFORE TRUNCATE ON ballast.star_payments
    FOR EACH STATEMENT EXECUTE FUNCTION ballast.admin_actions_refuse_change();
ALTER TABLE ballast.star_payments ENABLE ALWAYS TRIGGER star_payments_kept;
ALTER TABLE ballast.star_payments ENABLE ALWAYS TRIGGER star_payments_no_truncate;
REVOKE DELETE, TRUNCATE ON ballast.star_payments FROM PUBLIC, CURRENT_USER;
