"""WITHDRAWALS_BY names something that is set up and pays out, or the process does not start."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from ballast.payouts.installed import require_adapter
from dbcore.settings import SettingsError
from tests.conftest import MakeSettings


@pytest.mark.parametrize("name", ["paypal", "stripe", "crypto_pay"])
def test_what_does_not_pay_out_is_refused_by_name_and_what_would_is_told(
    make_settings: MakeSettings, name: str
) -> None:
    settings = make_settings(
        withdrawals_by=name, stripe_key=SecretStr("rk_1"), stripe_webhook_secret=SecretStr("whsec_1")
    )
    with pytest.raises(SettingsError) as refused:
        require_adapter(settings)
    line = str(refused.value)
    assert line.startswith("WITHDRAWALS_BY: expected ") and line.endswith(f"got {name!r}")
    assert "(manual)" in line


def test_what_is_set_up_is_taken(make_settings: MakeSettings) -> None:
    require_adapter(make_settings())
    require_adapter(make_settings(withdrawals_by="manual"))
    require_adapter(make_settings(withdrawals_by="crypto_pay", crypto_pay_token=SecretStr("1:t")))
