"""Login links and sessions: used once, bounded in number and in time, kept as digests."""

import itertools

from agent.status.links import IDLE_S, LINK_S, LINKS_MAX, SESSION_S, SESSIONS_MAX, Links, Sessions


def test_a_link_is_used_once() -> None:
    links = Links()
    code = links.new(0.0)
    assert not links.use("", 1.0)
    assert not links.use(f"{code}0", 1.0)
    assert links.use(code, 1.0)
    assert not links.use(code, 1.0)


def test_a_link_is_over_after_ten_minutes() -> None:
    links = Links()
    early, late = links.new(0.0), links.new(0.0)
    assert links.use(early, LINK_S - 1)
    assert not links.use(late, LINK_S)
    assert LINK_S == 600


def test_only_the_newest_links_are_open() -> None:
    links = Links()
    codes = [links.new(float(n)) for n in range(LINKS_MAX + 1)]
    assert [links.use(code, 10.0) for code in codes] == [False] + LINKS_MAX * [True]


def test_codes_have_128_bits_and_ids_256() -> None:
    assert len(bytes.fromhex(Links().new(0.0))) == 16
    assert len(bytes.fromhex(Sessions().begin(0.0))) == 32


def test_chance_is_asked_anew_for_each() -> None:
    drawn = itertools.count()
    links = Links(lambda n: next(drawn).to_bytes(n))
    assert links.new(0.0) != links.new(0.0)


def test_a_session_ends_when_nobody_asks_for_long() -> None:
    sessions = Sessions()
    session_id = sessions.begin(0.0)
    assert sessions.is_open(session_id, IDLE_S - 1)
    assert sessions.is_open(session_id, 2 * IDLE_S - 2)
    assert not sessions.is_open(session_id, 3 * IDLE_S)
    assert not sessions.is_open(session_id, 3 * IDLE_S - 3), "it does not come back"


def test_to_ask_whether_a_session_lasts_does_not_keep_it_open() -> None:
    sessions = Sessions()
    session_id = sessions.begin(0.0)
    assert sessions.lasts(session_id, IDLE_S - 1)
    assert not sessions.lasts(session_id, IDLE_S)
    assert not sessions.lasts("unknown", 0.0)


def test_a_session_ends_however_often_one_asks() -> None:
    sessions, now = Sessions(), 0.0
    session_id = sessions.begin(now)
    while now + IDLE_S / 2 < SESSION_S:
        now += IDLE_S / 2
        assert sessions.is_open(session_id, now)
    assert not sessions.is_open(session_id, SESSION_S)


def test_who_logs_out_is_out_and_all_others_are_not() -> None:
    sessions = Sessions()
    one, other = sessions.begin(0.0), sessions.begin(0.0)
    sessions.end(one)
    assert (sessions.is_open(one, 0.0), sessions.is_open(other, 0.0)) == (False, True)
    sessions.clear()
    assert not sessions.is_open(other, 0.0)


def test_a_session_too_many_ends_the_one_that_was_idle_longest() -> None:
    sessions = Sessions()
    ids = [sessions.begin(float(n)) for n in range(SESSIONS_MAX)]
    assert sessions.is_open(ids[0], 100.0)
    sessions.begin(101.0)
    assert sessions.is_open(ids[0], 102.0)
    assert not sessions.is_open(ids[1], 102.0)


def test_neither_codes_nor_ids_are_kept() -> None:
    links, sessions = Links(), Sessions()
    code, session_id = links.new(0.0), sessions.begin(0.0)
    kept = repr([vars(links), vars(sessions)])
    assert code not in kept
    assert session_id not in kept
