"""The command line speaks the language of its environment, in help, answers and complaints; programs read what they
always read.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from ballast.cli import breaker_text, processes, status_text
from ballast.cli.commands import Group
from ballast.cli.language import of_environment, paragraphs, said_help
from ballast.cli.main import cli
from ballast.queueing.queues import QUEUES, WORKERS
from ballast.texts import LANGUAGES, gettext, ngettext, speaking, spoken
from ballast.texts.catalogues import use_folder
from dbcore.ledger.audit import CHECK_NAMES
from dbcore.redis_client import connect_redis
from dbcore.status import status
from devstack import command_texts
from devstack.stack import ROOT
from tests.ballast.cli.test_main import WRONG_USAGE
from tests.ballast.reference import commands
from tests.conftest import MakeSettings
from tests.texts import pseudo

CLICKS_TYPES = {"integer", "range", "float"}
"""As click says them in a complaint and for a value in help: no texts of its own."""

ALL = {name: command for name, command in commands(cli, ("ballast",)) if name != "ballast celery"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pseudo")
    pseudo.write(folder)
    return folder


@pytest.fixture
def pseudo_spoken(folder: Path) -> Iterator[None]:
    use_folder(folder)
    yield
    use_folder(None)


def ended(line: str, language: str = pseudo.LANGUAGE) -> Result:
    environment = {"LC_ALL": f"{language}.UTF-8"}
    return CliRunner().invoke(cli, line.split()[1:], prog_name="ballast", env=environment)


def words_of(command: click.Command, name: str) -> set[str]:
    """Those that are the same in each language: of its usage, and what can be typed."""
    context = click.Context(command, info_name=name)
    words = [name, *command.collect_usage_pieces(context)]
    for parameter in command.params:
        words += [
            *parameter.opts,
            *parameter.secondary_opts,
            parameter.make_metavar(context),
            str(parameter.get_default(context)),
        ]
    if isinstance(command, Group):
        words += command.commands
    return {*pseudo.plain_words(" ".join(words)), "help"}


def hard_wired(said: str, same: set[str]) -> list[str]:
    """Words that came from no catalogue. Names, and what is in grave accents, are typed, and stay."""
    unwrapped = re.sub(r"`[^`]*?(`|\.\.\.)|@\w+", "", " ".join(said.split()))
    return [word for word in pseudo.plain_words(unwrapped) if word not in same]


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": ""}, "en"),
        ({"LANG": "C"}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "POSIX"}, "en"),
        ({"LANG": "en_GB.UTF-8"}, "en"),
        ({"LANG": "fr_FR.UTF-8"}, "en"),
        ({"LANG": "de_AT.UTF-8"}, "de"),
        ({"LANG": "pt_PT"}, "pt_BR"),
        ({"LANG": "ru_RU.KOI8-R"}, "ru"),
        ({"LANG": "uk_UA.UTF-8@euro"}, "uk"),
        ({"LANG": "de_DE.UTF-8", "LC_MESSAGES": "es_ES.UTF-8"}, "es"),
        ({"LANG": "de_DE.UTF-8", "LC_MESSAGES": "es_ES.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "C", "LC_MESSAGES": "", "LC_ALL": "fa_IR"}, "fa"),
        ({"LANG": "../../etc/passwd"}, "en"),
    ],
)
def test_the_language_is_the_one_that_the_environment_names_first(
    environment: Mapping[str, str], language: str
) -> None:
    assert of_environment(environment) == language


@pytest.mark.usefixtures("pseudo_spoken")
@pytest.mark.parametrize("name", ALL)
def test_nothing_in_a_commands_help_is_hard_wired(name: str) -> None:
    shown = ended(f"{name} --help")
    assert shown.exit_code == 0, shown.output
    assert "⟦" in shown.stdout
    assert hard_wired(shown.stdout, words_of(ALL[name], name)) == []


@pytest.mark.usefixtures("pseudo_spoken")
@pytest.mark.parametrize("line", WRONG_USAGE)
def test_nothing_in_a_complaint_about_usage_is_hard_wired(line: str) -> None:
    complaint = ended(f"ballast {line}")
    assert (complaint.exit_code, complaint.stdout) == (2, "")
    assert "⟦" in complaint.stderr
    names = [name for name in ALL if f"ballast {line} ".startswith(f"{name} ")]
    same = {*QUEUES, *WORKERS, *CLICKS_TYPES, *pseudo.plain_words(line)}.union(
        *(words_of(ALL[name], name) for name in names)
    )
    assert hard_wired(complaint.stderr, same) == []


@pytest.mark.usefixtures("pseudo_spoken")
def test_the_names_of_the_audits_checks_are_in_the_catalogues() -> None:
    with speaking(pseudo.LANGUAGE):
        assert [name for name in CHECK_NAMES if "⟦" not in gettext(name)] == []


def test_what_is_left_out_of_clicks_texts_is_what_click_says() -> None:
    """Or a text that this release of click has no more would hide a new one like it."""
    everything = {text if isinstance(text, str) else text[0] for text in command_texts.clicks_own()}
    assert everything >= command_texts.NOT_FOR_READERS


def test_help_is_told_by_paragraphs_and_lines_that_are_set_stay() -> None:
    told = "First, on\n    two lines.\n\n    \b\n    open   one\n    close  other\n\n    Last.\n    "
    assert paragraphs(told) == ["First, on two lines.", "open   one\nclose  other", "Last."]
    with speaking("de"):
        assert said_help(told) == "First, on two lines.\n\n\b\nopen   one\nclose  other\n\nLast."


@pytest.mark.usefixtures("pseudo_spoken")
def test_help_in_another_language_leaves_the_english_as_it_was() -> None:
    before = ended("ballast jobs list --help", "C").stdout
    assert "⟦" in ended("ballast jobs list --help").stdout
    assert ended("ballast jobs list --help", "C").stdout == before
    assert "⟦" not in before


def test_an_operators_text_with_a_place_of_its_own_is_passed_over(
    tmp_path: Path,
) -> None:
    said_of = {"No such command {name!r}.": "Kein Befehl {nmae!r}.", "Error: {message}": "Fehler: {message}"}
    lines = ['msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n']
    lines += [f'msgid "{text}"\nmsgstr "{german}"\n' for text, german in said_of.items()]
    (tmp_path / "de.po").write_text("\n".join(lines))
    use_folder(tmp_path)
    try:
        assert "Fehler: Den Befehl 'frob' gibt es nicht." in ended("ballast frob", "de").stderr
    finally:
        use_folder(None)


def test_a_process_that_the_command_becomes_speaks_english_to_nobody_in_particular(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The operator's terminal says nothing of those whom a worker serves."""
    spoken_inside: list[str] = []
    monkeypatch.setattr(processes, "_become_celery", lambda *_: spoken_inside.append(spoken()))
    for line in ("worker main", "beat", "celery inspect ping"):
        assert ended(f"ballast {line}", "de").exit_code == 0
    assert spoken_inside == ["en", "en", "en"]


def run(*arguments: str, language: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ballast", *arguments],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONIOENCODING": "utf-8",
            "BALLAST_ENV_FILE": "/dev/null",
            "LC_ALL": language,
            **environment,
        },
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def test_commands_on_real_servers_answer_in_the_operators_language(
    database_url: str, redis_url: str, make_settings: MakeSettings
) -> None:
    servers = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    found = status(database_url)
    with connect_redis(make_settings(redis_url=redis_url)) as client, speaking("de"):
        breaker = breaker_text.described(client)
        tables = status_text.described(found).splitlines()[-len(found.rows) :]
        checks = len(CHECK_NAMES)
        passed = gettext("{passed} of {checks} checks passed", passed=checks, checks=checks)
        nobody = gettext("There are no broadcasts.")
        unasked = gettext(
            "nothing was done: there is no terminal to ask at. Add {option} to do it without a question",
            option="--yes",
        )
        none_such = gettext("there is no approval {number}", number="7")
    german = "de_DE.UTF-8"
    assert run("breaker", language=german, **servers).stdout.splitlines()[0] == breaker.splitlines()[0]
    assert run("status", language=german, **servers).stdout.splitlines()[-len(tables) :] == tables
    audited = run("audit", language=german, **servers)
    assert (audited.returncode, audited.stdout.splitlines()[-1]) == (0, passed)
    assert run("broadcast", "list", language=german, **servers).stderr == f"{nobody}\n"
    refused = run(
        "exchange", "rate", "EUR", "CREDIT", "1.10", language=german, CURRENCIES="EUR:2:Euro:€", **servers
    )
    assert (refused.returncode, refused.stderr) == (1, f"ballast: {unasked}\n")
    refused = run("approvals", "approve", "7", "--reason", "x", language=german, **servers)
    assert (refused.returncode, refused.stderr) == (1, f"ballast: {none_such}\n")


def test_a_terminal_that_lacks_a_languages_letters_gets_them_as_escapes() -> None:
    shown = run("--help", language="ar", PYTHONIOENCODING="latin-1")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("\\u")


def test_an_operators_own_texts_win_on_the_command_line_too(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    (tmp_path / "de.po").write_text('msgid "There are no broadcasts."\nmsgstr "Es gibt nichts."\n')
    servers = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "TEXTS_FOLDER": str(tmp_path)}
    assert run("broadcast", "list", language="de_DE.UTF-8", **servers).stderr == "Es gibt nichts.\n"
    (tmp_path / "de.po").write_text('msgid "There are')
    refused = run("broadcast", "list", language="de_DE.UTF-8", **servers)
    assert (refused.returncode, "TEXTS_FOLDER: " in refused.stderr) == (2, True)


def test_what_programs_read_is_the_same_in_each_language(database_url: str, redis_url: str) -> None:
    servers = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    for line in ("breaker --json", "approvals list --json", "broadcast list --json", "books --csv"):
        english, german = (run(*line.split(), language=each, **servers) for each in ("C", "de_DE.UTF-8"))
        assert (german.returncode, german.stdout) == (0, english.stdout), line
    audits = [
        json.loads(run("audit", "--full", "--json", language=each, **servers).stdout)
        for each in ("C", "de_DE.UTF-8")
    ]
    assert [check["name"] for check in audits[0]["checks"]] == [
        check["name"] for check in audits[1]["checks"]
    ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_number_is_said_in_its_form_and_its_digits_keep_their_column(language: str) -> None:
    with speaking(language):
        told = ngettext("{number} row", "{number} rows", 12, number=f"{12:>12}")
    assert re.search(r" {10}12", told)
