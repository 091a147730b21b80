"""Which language each person reads, on a real Redis and a real database."""

from __future__ import annotations

import redis

from ballast.builtin.balances import ShowBalance
from ballast.chat.languages import KEY, REMEMBERED_SECONDS, UNCHANGED_SECONDS, Languages
from ballast.inbox import Inbox
from ballast.queueing.envelope import Envelope
from ballast.texts import speaking
from ballast.texts.formats import zone
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import users
from devstack.ports import free_port
from tests.conftest import MakeSettings


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def kept(client: redis.Redis) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = client.hgetall(KEY)  # type: ignore[assignment]
    return found


def test_who_wrote_just_now_reads_what_their_telegram_has(client: redis.Redis) -> None:
    languages = Languages(client)
    assert languages.of_writers({1: "de-AT", 2: None, 3: "zh", 4: "pt"}) == {
        1: "de",
        2: "en",
        3: "en",
        4: "pt_BR",
    }
    assert kept(client) == {b"1": b"de", b"4": b"pt_BR"}
    assert [Languages(client).of(each) for each in (1, 2, 3, 4, 5)] == ["de", "en", "en", "pt_BR", "en"]
    languages.of_writers({1: "ru", 4: "en"})
    assert [Languages(client).of(each) for each in (1, 4)] == ["ru", "en"]


def test_what_somebody_chose_stands_whatever_their_telegram_says(client: redis.Redis) -> None:
    languages = Languages(client)
    languages.of_writers({1: "de"})
    assert languages.choose(1, "uk", "de") == "uk"
    assert languages.of_writers({1: "de"}) == {1: "uk"}
    assert Languages(client).of_writers({1: "es"}) == {1: "uk"}
    assert languages.choose(1, None, "es") == "es"
    assert Languages(client).of(1) == "es"


def test_a_choice_that_another_process_took_is_known_after_a_while(client: redis.Redis) -> None:
    clock = Clock()
    languages = Languages(client, clock=clock)
    assert languages.of_writers({1: "de"}) == {1: "de"}
    Languages(client).choose(1, "fa", "de")
    assert languages.of_writers({1: "de"}) == {1: "de"}
    clock.now += REMEMBERED_SECONDS + 1
    assert languages.of_writers({1: "de"}) == {1: "fa"}


def test_who_is_remembered_costs_no_look_until_somebody_chooses(client: redis.Redis, inbox: Inbox) -> None:
    clock = Clock()
    languages = inbox.languages = Languages(client, clock=clock)
    languages.of_writers({1: "de"})
    for _ in range(3):
        clock.now += UNCHANGED_SECONDS - 1
        inbox.claim("nothing", "somebody")
        before = client.info("commandstats")["cmdstat_hmget"]["calls"]
        assert languages.of_writers({1: "de"}) == {1: "de"}
        assert client.info("commandstats")["cmdstat_hmget"]["calls"] == before
    Languages(client).choose(1, "fa", "de")
    inbox.accept(Envelope.of(ShowBalance(telegram_id=1), job_id="1-1", lane="user:1"))
    assert languages.of_writers({1: "de"}) == {1: "fa"}
    Languages(client).choose_zone(1, "Asia/Tehran")
    inbox.claim("nothing", "somebody")
    assert languages.zone_of(1) == "Asia/Tehran"
    Languages(client).restore([(1, "ru", None)])
    inbox.claim("nothing", "somebody")
    assert languages.of(1) == "ru"
    clock.now += UNCHANGED_SECONDS + 1
    Languages(client).of_writers({1: "de"})
    client.hset(KEY, "1", "=uk")
    assert languages.of(1) == "uk", "nobody said for a while that nobody chose"


def test_people_that_are_remembered_cost_no_look(client: redis.Redis) -> None:
    languages = Languages(client)
    languages.of_writers({1: "de", 2: "en"})
    before = client.info("commandstats").get("cmdstat_hmget", {"calls": 0})["calls"]
    languages.of_writers({2: "en", 1: "de"})
    assert client.info("commandstats").get("cmdstat_hmget", {"calls": 0})["calls"] == before


def test_people_that_were_looked_up_together_cost_no_look_each(client: redis.Redis) -> None:
    Languages(client).of_writers({1: "de", 2: "ru"})
    languages = Languages(client)
    languages.look_up([1, 2, 3])
    before = client.info("commandstats")["cmdstat_hmget"]["calls"]
    assert [languages.of(each) for each in (1, 2, 3)] == ["de", "ru", "en"]
    assert client.info("commandstats")["cmdstat_hmget"]["calls"] == before


def test_without_redis_people_are_spoken_to_as_telegram_says() -> None:
    away = redis.Redis.from_url(f"redis://127.0.0.1:{free_port()}/0", retry=None)
    languages = Languages(away)
    assert languages.of_writers({1: "de", 2: None}) == {1: "de", 2: "en"}
    assert languages.of(3) == "en"
    assert languages.choose(1, "ru", "de") == "ru"
    assert languages.of_writers({1: "de"}) == {1: "ru"}


def test_a_language_that_this_release_does_not_have_is_read_as_the_nearest(client: redis.Redis) -> None:
    client.hset(KEY, mapping={"1": "=de_CH", "2": "=xx", "3": ""})
    assert [Languages(client).of(each) for each in (1, 2, 3)] == ["de", "en", "en"]


def test_what_people_chose_comes_back_from_the_database(
    client: redis.Redis, make_settings: MakeSettings, database_url: str
) -> None:
    engine = GuardedEngine(make_settings(database_url=database_url))
    try:
        for telegram_id, language in ((1, "de"), (2, None), (3, "ar")):
            users.choose_language(engine, profile=users.Profile(telegram_id, None, "P"), language=language)
        users.choose_language(engine, profile=users.Profile(3, None, "P"), language="fa")
        for telegram_id, zone in ((3, "Asia/Tehran"), (4, "Europe/Kyiv"), (5, "UTC"), (5, None)):
            users.choose_time_zone(engine, profile=users.Profile(telegram_id, None, "P"), zone=zone)
        pages = list(users.chosen_languages_and_zones(engine))
    finally:
        engine.dispose()
    assert pages == [[(1, "de", None), (3, "fa", "Asia/Tehran"), (4, None, "Europe/Kyiv")]]
    languages = Languages(client)
    assert not languages.is_whole()
    for page in pages:
        languages.restore(page)
    languages.note_whole()
    assert languages.is_whole()
    assert [Languages(client).of(each) for each in (1, 2, 3)] == ["de", "en", "fa"]
    assert [Languages(client).zone_of(each) for each in (1, 3, 4)] == [None, "Asia/Tehran", "Europe/Kyiv"]
    with speaking("de"):
        assert Languages(client).of_writers({1: "en"}) == {1: "de"}


def test_a_time_zone_that_somebody_chose_is_theirs_whatever_they_read(client: redis.Redis) -> None:
    languages = Languages(client)
    languages.choose_zone(1, "Asia/Tehran")
    assert languages.of_writers({1: "de", 2: "de"}) == {1: "de", 2: "de"}
    languages.choose(1, "fa", "de")
    for known in (languages, Languages(client)):
        assert [known.of(1), known.zone_of(1), known.zone_of(2)] == ["fa", "Asia/Tehran", None]
        with known.speaking_to(1):
            assert zone("Europe/Berlin").key == "Asia/Tehran"
            with known.speaking_to(2):
                assert zone("Europe/Berlin").key == "Europe/Berlin"
    languages.choose_zone(1, None)
    assert [languages.zone_of(1), Languages(client).zone_of(1)] == [None, None]


def test_a_time_zone_that_this_host_does_not_have_is_none(client: redis.Redis) -> None:
    client.hset(KEY, mapping={"tz:1": "Mars/Olympus", "tz:2": "../../etc/passwd"})
    assert [Languages(client).zone_of(each) for each in (1, 2)] == [None, None]


def test_a_hash_that_an_older_release_restored_is_restored_again_with_time_zones(client: redis.Redis) -> None:
    client.hset(KEY, "0", "")
    assert not Languages(client).is_whole()
