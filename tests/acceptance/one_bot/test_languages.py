"""Whoever reads is spoken to in their language, whichever process says it."""

from __future__ import annotations

import time

from ballast.texts import LANGUAGES, own_name
from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from devstack.telegram.control_objects import SeenMessage
from tests.harness.people import ANSWER_SECONDS_MAX, all_settled, answers, credit_once, pause, resume, say
from tests.texts.pseudo import LANGUAGE as PSEUDO
from tests.texts.pseudo import plain_words


async def person(
    telegram: TelegramControl, name: str, language_code: str, username: str | None = None
) -> int:
    """Somebody whose Telegram has this language, and who does not know the bot yet."""
    user = await telegram.create_user(name, username=username or name.lower())
    await telegram.change_user(user.id, language_code=language_code)
    return user.id


async def pressed(telegram: TelegramControl, user_id: int, message: SeenMessage, label: str) -> SeenMessage:
    """The message as it is once its button did something."""
    await telegram.press_button(user_id, message, label)
    return await telegram.wait_for_message(
        user_id,
        lambda seen: seen.message_id == message.message_id,
        after=message.revision,
        timeout_seconds=ANSWER_SECONDS_MAX,
    )


async def test_people_are_answered_in_the_language_of_their_telegram(
    stack: Stack, telegram: TelegramControl
) -> None:
    heidi = await person(telegram, "Heidi", "de-CH")
    assert (await say(telegram, heidi, "/start")).text.startswith(
        "Willkommen, Heidi! Ihr Guthaben beträgt 0,00 CREDIT."
    )
    assert (await say(telegram, heidi, "/gibtsnicht")).text.startswith("/gibtsnicht kenne ich nicht.")
    assert "/balance – Ihr Guthaben anzeigen" in (await say(telegram, heidi, "/help")).text
    assert (await say(telegram, heidi, "/send @heidi 1,234,5")).text.startswith(
        "Der Betrag muss eine einfache Zahl ohne Tausendertrennzeichen sein"
    )
    await telegram.change_user(heidi, language_code="de")
    menu = {each["command"]: each["description"] for each in await telegram.menu(heidi)}
    assert menu["balance"] == "Ihr Guthaben anzeigen"
    omid = await person(telegram, "Omid", "fa")
    assert (await say(telegram, omid, "/balance")).text == "موجودی شما \u20680.00 CREDIT\u2069 است."


async def test_each_of_two_people_reads_of_a_transfer_in_their_own_language(
    stack: Stack, telegram: TelegramControl
) -> None:
    uwe, petro = await person(telegram, "Uwe", "de"), await person(telegram, "Petro", "uk")
    for each in (uwe, petro):
        await say(telegram, each, "/start")
    await credit_once(telegram, "@uwe", "2000")
    await telegram.wait_for_message(
        uwe,
        lambda seen: seen.text.startswith("Ihnen wurden 2.000,00 CREDIT gutgeschrieben."),
        timeout_seconds=ANSWER_SECONDS_MAX,
    )
    card = await say(telegram, uwe, "/send @petro 1.234,50 Miete")
    assert card.text.startswith("1.234,50 CREDIT an “Petro” senden?")
    sent = await pressed(telegram, uwe, card, "Bestätigen")
    assert sent.text.startswith("1.234,50 CREDIT wurden an “Petro” (@petro) gesendet.")
    received = await telegram.wait_for_message(petro, after=card.revision, timeout_seconds=ANSWER_SECONDS_MAX)
    assert received.text.startswith("“Uwe” (@uwe) надсилає вам 1\u00a0234,50 CREDIT.")
    history = (await say(telegram, petro, "/history")).text
    assert time.strftime("%d.%m.%Y", time.gmtime()) in history
    assert "+1\u00a0234,50 CREDIT від “Uwe”" in history


async def test_a_language_that_somebody_chose_is_kept_until_they_want_telegrams(
    stack: Stack, telegram: TelegramControl
) -> None:
    lena = await person(telegram, "Lena", "de")
    question = await say(telegram, lena, "/language")
    assert question.text == "In welcher Sprache soll ich Ihnen schreiben?"
    chosen = await pressed(telegram, lena, question, "Українська")
    assert chosen.text == "Тепер я пишу вам цією мовою: Українська."
    assert (await say(telegram, lena, "/balance")).text == "Ваш баланс: 0,00 CREDIT."
    assert stack.query("SELECT language, language_code FROM users WHERE telegram_id = %s", lena) == [
        ("uk", "de")
    ]
    question = await say(telegram, lena, "/language")
    back = await pressed(telegram, lena, question, "Як у Telegram")
    assert back.text == "Ich schreibe Ihnen ab jetzt in dieser Sprache: Deutsch."
    assert (await say(telegram, lena, "/balance")).text == "Ihr Guthaben beträgt 0,00 CREDIT."
    assert stack.query("SELECT language FROM users WHERE telegram_id = %s", lena) == [(None,)]


async def test_a_language_chosen_during_an_outage_is_spoken_at_once_and_kept_afterwards(
    stack: Stack, telegram: TelegramControl
) -> None:
    ida = await person(telegram, "Ida", "en")
    await say(telegram, ida, "/start")
    question = await say(telegram, ida, "/language")
    await pause(stack)
    try:
        await telegram.press_button(ida, question, "Español")
        notice = await telegram.wait_for_message(
            ida, after=question.revision, timeout_seconds=ANSWER_SECONDS_MAX
        )
        assert "Your choice of a language is saved" in notice.text
        assert (await say(telegram, ida, "/nada")).text.startswith("No conozco /nada.")
    finally:
        await resume(stack)
    await all_settled(stack, telegram)
    assert stack.query("SELECT language FROM users WHERE telegram_id = %s", ida) == [("es",)]
    assert "A partir de ahora le escribiré en este idioma: Español." in await answers(telegram, ida)


async def test_a_time_zone_that_somebody_chose_is_that_of_the_times_they_read(
    stack: Stack, telegram: TelegramControl
) -> None:
    zoe = await person(telegram, "Zoe", "en")
    question = await say(telegram, zoe, "/timezone")
    assert question.text.startswith("Which time zone are you in?")
    tokyo = next(label for label, _ in question.buttons if label.endswith("Tokyo"))
    chosen = await pressed(telegram, zoe, question, tokyo)
    assert chosen.text.startswith("From now on I will show you times in this time zone: Asia/Tokyo.")
    await credit_once(telegram, "@zoe", "5")
    await telegram.wait_for_message(zoe, lambda message: message.text.startswith("You were credited"))
    assert "Times are Asia/Tokyo." in (await say(telegram, zoe, "/history")).text
    assert "time zone: America/Sao_Paulo." in (await say(telegram, zoe, "/timezone São Paulo")).text
    unknown = await say(telegram, zoe, "/timezone Atlantis")
    assert unknown.text.startswith("I do not know the time zone “Atlantis”.")
    assert stack.query("SELECT time_zone FROM users WHERE telegram_id = %s", zoe) == [("America/Sao_Paulo",)]
    await pressed(telegram, zoe, unknown, "Default: UTC")
    assert stack.query("SELECT time_zone FROM users WHERE telegram_id = %s", zoe) == [(None,)]
    assert "Times are UTC." in (await say(telegram, zoe, "/history")).text


async def test_a_time_zone_chosen_during_an_outage_counts_at_once_and_is_kept_afterwards(
    stack: Stack, telegram: TelegramControl
) -> None:
    kim = await person(telegram, "Kim", "en")
    balance = await say(telegram, kim, "/balance")
    await pause(stack)
    try:
        notice = await say(telegram, kim, "/timezone Seoul")
        assert "Your choice of a time zone is saved" in notice.text
        last_known = await say(telegram, kim, "/balance")
        assert "Asia/Seoul your balance was" in last_known.text, balance.text
    finally:
        await resume(stack)
    await all_settled(stack, telegram)
    assert stack.query("SELECT time_zone FROM users WHERE telegram_id = %s", kim) == [("Asia/Seoul",)]


async def test_the_main_commands_say_nothing_that_is_in_no_catalogue(
    stack: Stack, telegram: TelegramControl
) -> None:
    """In the pseudo-language, whose texts are a third longer too: no button and no card breaks by that."""
    paula, boris = [await person(telegram, "Ĥ", PSEUDO, username) for username in ("p_1", "p_2")]
    spoken: list[SeenMessage] = []

    async def ask(who: int, text: str) -> SeenMessage:
        spoken.append(await say(telegram, who, text))
        return spoken[-1]

    async def press(who: int, message: SeenMessage, number: int) -> SeenMessage:
        """number -- of the button, row by row."""
        spoken.append(await pressed(telegram, who, message, buttons_of(message)[number]))
        return spoken[-1]

    stack.start("bulk")
    stack.wait_ready(processes=4)
    for who in (paula, boris):
        await ask(who, "/start")
    question = await say(telegram, ADMIN_ID, "/language")
    await pressed(telegram, ADMIN_ID, question, PSEUDO)
    try:
        for words in ("/help", "/dbstatus", "/broadcasts", "/broadcast", "/credit", "/debit 1", "/user"):
            await ask(ADMIN_ID, words)
        card = await ask(ADMIN_ID, f"/credit {paula} 10")
        await press(ADMIN_ID, card, 0)
        draft = await say(telegram, ADMIN_ID, "/broadcast 42")
        draft = await telegram.wait_for_message(
            ADMIN_ID, lambda seen: bool(buttons_of(seen)), after=draft.revision, timeout_seconds=60
        )
        spoken.append(draft)
        whom = await press(ADMIN_ID, draft, 0)
        back = await press(ADMIN_ID, whom, len(buttons_of(whom)) - 1)
        when = await press(ADMIN_ID, back, 1)
        back = await press(ADMIN_ID, when, len(buttons_of(when)) - 1)
        await press(ADMIN_ID, back, len(buttons_of(back)) - 1)
    finally:
        question = await say(telegram, ADMIN_ID, "/language")
        await pressed(telegram, ADMIN_ID, question, buttons_of(question)[-1])
    for words in (
        "/help",
        "/balance",
        "/nothing",
        "hello",
        "/stop",
        "/resume",
        "/cancel",
        "/send",
        "@",
        "/cancel",
    ):
        await ask(paula, words)
    for words in ("/send @x 1 000", "/send 5", f"/send {boris} 0", f"/send {boris} 1,234", "/balance 1"):
        await ask(paula, words)
    card = await ask(paula, f"/send {boris} 2.50")
    await press(paula, card, 0)
    await ask(paula, f"/send {boris} 1000")
    await ask(paula, "/history")
    await ask(paula, "/language")
    await ask(paula, "/timezone UTC")
    await ask(paula, "/timezone x_y_z")
    await all_settled(stack, telegram)
    for message in spoken:
        assert "⟦" in message.text
        shown = [message.text, *buttons_of(message)]
        found = [word for text in shown for word in plain_words(text) if word not in NAMES]
        assert not found, message.text


NAMES = {
    *("CREDIT", "UTC", "PostgreSQL", "Telegram", "HTML", "News", "code", "name", "start", "help", "balance"),
    *("send", "history", "cancel", "credit", "debit", "user", "stop", "resume", "broadcast", "broadcasts"),
    *("deposit", "paysupport", "refund", "terms", "subscribe", "subscription"),
    *("dbstatus", "language", "timezone", "Lisbon", "x_y_z", "nothing", "outage", "username"),
    *("reconcile", "signin", "role"),
}
"""What is the same in each language: currencies, commands, names."""


def buttons_of(message: SeenMessage) -> list[str]:
    """Their labels, but the languages' own names, and cities by their clocks."""
    names = {own_name(each) for each in LANGUAGES}
    return [label for label, _ in message.buttons if label not in names and not label[0].isdigit()]
