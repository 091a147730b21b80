"""What people read of subscriptions. Titles are the operator's own words, and harmless all the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ballast.apps.command_names import joined, mention
from ballast.texts import gettext, ngettext
from ballast.texts.formats import day
from ballast.texts.phrases import escape, identified, name, shown
from dbcore.ledger.star_subscriptions import ChangeKind, Renewal, Subscription, Wanted
from dbcore.settings import Settings
from dbcore.subscription_plans import SubscriptionPlan

BUTTON_LENGTH_MAX = 64


def nothing_to_subscribe_to() -> str:
    return gettext("There is nothing to subscribe to here. You have not been charged.")


def not_on_offer() -> str:
    return gettext("This subscription is no longer offered. You have not been charged.")


def try_again() -> str:
    return gettext("Telegram did not answer. Please try again in a few minutes.")


def plans(offered: Sequence[SubscriptionPlan], has: Mapping[str, Subscription]) -> str:
    """has -- what the person is subscribed to, by the plan's name."""
    lines = [f"<b>{gettext('Subscriptions')}</b>"]
    for plan in offered:
        line = gettext("{title}: {price} every 30 days", title=escape(plan.title), price=stars(plan.stars))
        if (found := has.get(plan.name)) is not None:
            line = gettext(
                "{title}: yours until {date}", title=escape(plan.title), date=day(found.expires_at)
            )
        lines.append(line)
    return "\n".join(lines)


def plan_button(plan: SubscriptionPlan) -> str:
    return f"{plan.title} · {plan.stars} ⭐"[:BUTTON_LENGTH_MAX]


def description(plan: SubscriptionPlan) -> str:
    """Of the invoice, without formatting."""
    return gettext("{price} now and every 30 days, until you cancel.", price=stars(plan.stars))


def link(plan: SubscriptionPlan, address: str) -> str:
    asked = gettext(
        "Open this link to subscribe to {title}: {price} now and every 30 days, until you cancel.",
        title=f"<b>{escape(plan.title)}</b>",
        price=stars(plan.stars),
    )
    return "\n".join([asked, escape(address)])


def none_yet() -> str:
    return joined(
        gettext("You have no subscription."), mention("subscribe", "{command} shows what there is.")
    )


def standing(found: Subscription, settings: Settings, *, by_operator: bool = False) -> str:
    """How it stands, and how its renewal does. by_operator -- it is somebody else's who reads it."""
    title, until = f"<b>{escape(title_of(found.plan, settings))}</b>", day(found.expires_at)
    if not found.is_paid and found.renewal is not Renewal.ON:
        return gettext("{title}: ended on {date}.", title=title, date=until)
    paid = gettext("{title}: paid until {date}.", title=title, date=until)
    return joined(paid, _renewal(found, by_operator=by_operator))


def _renewal(found: Subscription, *, by_operator: bool) -> str:
    if found.wanted is not None:
        return gettext("I am asking Telegram to change the renewal.")
    match found.renewal:
        case Renewal.ON:
            return gettext("It is then renewed for {price}.", price=stars(found.stars))
        case Renewal.FAILED:
            return gettext("Telegram could not charge for the renewal.")
        case Renewal.CANCELLED if found.cancelled_by_bot or by_operator:
            return gettext("It is not renewed.")
        case Renewal.CANCELLED:
            return joined(gettext("It is not renewed."), _where_to_turn_on())


def _where_to_turn_on() -> str:
    return gettext("You can turn the renewal on again in Telegram: Settings, My Stars.")


def cancel_renewal() -> str:
    return gettext("Cancel the renewal")


def allow_renewal() -> str:
    return gettext("Allow the renewal again")


def question(found: Subscription, wanted: Wanted, settings: Settings, *, by_operator: bool) -> str:
    """by_operator -- about somebody else's."""
    about = {"title": f"<b>{escape(title_of(found.plan, settings))}</b>", "date": day(found.expires_at)}
    whose = [f"{name(found.owner)}, {identified(found.owner)}"] if by_operator else []
    if wanted == "cancelled":
        asked = gettext("Cancel the renewal of {title}?", **about)
        then = gettext("It stays until {date}. After that no more Stars are charged.", **about)
    else:
        asked = gettext("Allow the renewal of {title} again?", **about)
        then = gettext("Nothing is charged by this: the renewal has to be turned on in Telegram.", **about)
    return "\n".join([asked, *whose, then])


def nothing_changed() -> str:
    return gettext("Nothing was changed.")


def asking_telegram() -> str:
    return gettext("I am asking Telegram. You will read here what it says.")


def changed(found: Subscription, change: ChangeKind, settings: Settings) -> str:
    """To whose subscription it is."""
    about = {"title": f"<b>{escape(title_of(found.plan, settings))}</b>", "date": day(found.expires_at)}
    match change:
        case ChangeKind.CANCELLED:
            return gettext("{title} is not renewed any more. It is yours until {date}.", **about)
        case ChangeKind.RESUMED:
            return gettext("{title} is renewed again, on {date}.", **about)
        case ChangeKind.FAILED:
            return gettext("Telegram could not charge you for {title}. It is yours until {date}.", **about)
        case ChangeKind.ALLOWED:
            return joined(gettext("The renewal of {title} is allowed again.", **about), _where_to_turn_on())
        case ChangeKind.REFUSED:
            why = shown(found.refusal or "")
            return gettext(
                "Telegram did not change the renewal of {title}: {reason}", title=about["title"], reason=why
            )
        case _:
            ended = gettext("Your subscription to {title} has ended.", **about)
            return joined(ended, mention("subscribe", "{command} shows what there is."))


def title_of(plan: str, settings: Settings) -> str:
    """The plan's; its name if it is no longer offered."""
    found = settings.subscription_plan(plan)
    return plan if found is None else found.title


def stars(count: int) -> str:
    return ngettext("{count} Telegram Star", "{count} Telegram Stars", count)
