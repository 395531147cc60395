"""What every backend of the gallery promises; gallery_backends.py lists them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from inference.gallery_backends import BACKENDS, START, Backend
from speaker_id.contracts import FloatArray, Gallery, GalleryEvent, Match, UserDetails
from speaker_id.errors import GalleryError

X, Y, Z = np.eye(3, dtype=np.float32)
SECOND = timedelta(seconds=1)
GRACE = 10 * SECOND
ZONELESS = datetime(2020, 1, 1)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    made = BACKENDS[request.param]()
    yield made
    made.discard()


@pytest.fixture
def gallery(backend: Backend) -> Iterator[Gallery]:
    opened = backend.open()
    yield opened
    opened.close()


def users_of(matches: list[Match]) -> list[str]:
    return [match.user for match in matches]


def test_details_are_kept_merged_replaced_and_left_alone(backend: Backend, gallery: Gallery) -> None:
    details = UserDetails({"department": "B", "": "名"}, "signed 2030-01-01, folder 7", START + SECOND)
    gallery.enrol("Ada", X[None], details=details)
    assert gallery.enrolled("Ada") == ("Ada", 1, START, START, details)
    backend.clock.advance(0.5)
    assert gallery.enrol("Ada", Y[None]) == 2  # says nothing of details
    assert gallery.enrolled("Ada") == ("Ada", 2, START, START + 0.5 * SECOND, details)
    gallery.enrol("Ada", Z[None], details=UserDetails({"department": "C", "floor": "2"}))
    more = details._replace(metadata={"department": "C", "": "名", "floor": "2"})
    assert gallery.enrolled("Ada") == ("Ada", 3, START, START + 0.5 * SECOND, more)
    gallery.enrol("Ada", Z[None], details=UserDetails(consent="again", expires=START + 2 * SECOND))
    again = more._replace(consent="again", expires=START + 2 * SECOND)
    assert gallery.enrolled("Ada") == ("Ada", 4, START, START + 0.5 * SECOND, again)
    assert gallery.update("Ada", UserDetails(consent="withdrawn"))
    assert gallery.enrolled("Ada") == ("Ada", 4, START, START + 0.5 * SECOND, UserDetails(consent="withdrawn"))


def test_nobody_has_no_details_and_no_embeddings(gallery: Gallery) -> None:
    assert gallery.update("Ada", UserDetails()) is False
    assert gallery.enrolled("Ada") is None
    assert gallery.embeddings("Ada").shape == (0, 3)
    assert gallery.users() == {}


def test_embeddings_come_back_singly_as_unit_rows_in_the_order_of_enrolment(gallery: Gallery) -> None:
    gallery.enrol("Ada", np.stack([2 * X, X + Y]))
    gallery.enrol("Bob", Z[None])
    gallery.enrol("Ada", 3 * Y[None])
    rows = gallery.embeddings("Ada")
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, [X, (X + Y) / np.sqrt(2), Y], atol=1e-7)
    rows[:] = 0  # the caller's own


def test_a_user_whose_time_is_over_is_found_nowhere_and_erased_at_the_next_write(
    backend: Backend, gallery: Gallery
) -> None:
    gallery.enrol("Ada", X[None], details=UserDetails(expires=START + 10 * SECOND))
    gallery.enrol("Bob", Y[None])
    assert users_of(gallery.search(X)) == ["Ada", "Bob"]
    backend.clock.advance(9.999)
    assert users_of(gallery.search(X)) == ["Ada", "Bob"]
    backend.clock.advance(0.001)
    assert users_of(gallery.search(X)) == ["Bob"]
    assert gallery.users() == {"Bob": 1}
    assert gallery.enrolled("Ada") is None
    assert len(gallery.embeddings("Ada")) == 0
    assert gallery.update("Ada", UserDetails()) is False
    assert gallery.remove("Ada") is False
    assert gallery.enrol("Ada", Z[None]) == 1  # somebody new
    assert gallery.enrolled("Ada") == ("Ada", 1, START + 10 * SECOND, START + 10 * SECOND, UserDetails())


def test_a_longer_time_reaches_other_galleries_before_the_first_one_is_over(backend: Backend, gallery: Gallery) -> None:
    other = backend.open()
    other.enrol("Ada", X[None], details=UserDetails(expires=START + SECOND))
    assert users_of(gallery.search(X)) == ["Ada"]
    other.update("Ada", UserDetails(expires=START + 3 * SECOND))
    backend.clock.advance(2)
    assert users_of(gallery.search(X)) == ["Ada"]
    other.update("Ada", UserDetails())
    backend.clock.advance(2)
    assert users_of(gallery.search(X)) == ["Ada"]
    other.close()


def test_times_of_other_zones_are_kept_in_utc(gallery: Gallery) -> None:
    at_ten = datetime(2030, 6, 1, 10, tzinfo=timezone(timedelta(hours=2)))
    gallery.enrol("Ada", X[None], details=UserDetails(expires=at_ten))
    shown = gallery.enrolled("Ada")
    assert shown is not None
    assert shown.details.expires == datetime(2030, 6, 1, 8, tzinfo=UTC)
    assert shown.details.expires.tzinfo is UTC


@pytest.mark.parametrize(
    ("details", "reason"),
    [
        (UserDetails(expires=START), "is over"),
        (UserDetails(expires=datetime(2040, 1, 1)), "no time zone"),
        (UserDetails(expires=datetime.max.replace(tzinfo=timezone(-timedelta(hours=1)))), "beyond the calendar"),
        (UserDetails({"age": 7}), "not text"),  # type: ignore[dict-item]
        (UserDetails(consent=True), "in words"),  # type: ignore[arg-type]
        (UserDetails({"\ud83d": "b"}), "metadata .*Unicode"),
        (UserDetails({"a": "\ud83d\udcff"}), "metadata .*Unicode"),  # two halves, which JSON would give back as one
        (UserDetails(consent="\udcff"), "consent .*Unicode"),
    ],
    ids=["past", "no zone", "beyond", "metadata", "consent", "key", "value", "halves"],
)
def test_details_that_cannot_be_kept_are_refused_and_nothing_changes(
    gallery: Gallery, details: UserDetails, reason: str
) -> None:
    with pytest.raises(GalleryError, match=reason):
        gallery.enrol("Ada", X[None], details=details)
    assert gallery.users() == {}
    gallery.enrol("Ada", X[None])
    with pytest.raises(GalleryError, match=reason):
        gallery.update("Ada", details)
    assert gallery.enrolled("Ada") == ("Ada", 1, START, START, UserDetails())


def test_the_best_k_cosines_are_averaged(backend: Backend) -> None:
    both = backend.open()
    both.enrol("Ada", np.stack([X, Y, Z]))
    both.enrol("Bob", ((X + Y) / np.sqrt(2))[None])
    both.close()
    half = 1 / np.sqrt(2)
    for best, expected in {
        None: [("Bob", half), ("Ada", 1 / np.sqrt(3))],
        1: [("Ada", 1.0), ("Bob", half)],
        2: [("Bob", half), ("Ada", 0.5)],
        3: [("Bob", half), ("Ada", 1 / 3)],
        9: [("Bob", half), ("Ada", 1 / 3)],  # nobody has as many: the mean of all
    }.items():
        opened = backend.open(best=best)
        found = opened.search(X)
        assert users_of(found) == [user for user, _ in expected], best
        assert [match.score for match in found] == pytest.approx([score for _, score in expected], abs=1e-6)
        opened.close()


def test_best_of_none_is_refused(backend: Backend) -> None:
    with pytest.raises(GalleryError, match="at least one"):
        backend.open(best=0)


@pytest.mark.parametrize("best", [None, 1, 3])
def test_scores_agree_with_a_plain_comparison_of_everything(backend: Backend, best: int | None) -> None:
    rng = np.random.default_rng(0)
    voices = {f"user {i}": unit(rng.standard_normal((1 + i % 6, 16))) for i in range(150)}
    gallery = backend.open(dim=16, best=best)
    for user, rows in voices.items():
        gallery.enrol(user, rows[:1])
    gallery.search(voices["user 3"][0])  # from here on the index is kept up with changes
    for user, rows in voices.items():
        if len(rows) > 1:
            gallery.enrol(user, rows[1:])
    for user in ("user 0", "user 77", "user 149"):
        gallery.remove(user)
        del voices[user]
    queries = unit(rng.standard_normal((9, 16)))
    for limit in (1, 5, 1000):
        for query, found in zip(queries, gallery.search_many(queries, limit=limit), strict=True):
            expected = sorted(((plain_score(rows, query, best), user) for user, rows in voices.items()), reverse=True)
            assert users_of(found) == [user for _, user in expected[:limit]]
            np.testing.assert_allclose([m.score for m in found], [score for score, _ in expected[:limit]], atol=1e-6)
    gallery.close()


def unit(rows: FloatArray) -> FloatArray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def plain_score(rows: FloatArray, query: FloatArray, best: int | None) -> float:
    if best is None:
        mean = rows.astype(np.float64).mean(axis=0)
        return float(mean @ query / np.linalg.norm(mean))
    return float(np.sort(rows.astype(np.float64) @ query)[::-1][:best].mean())


@pytest.mark.parametrize("best", [None, 2])
def test_searching_for_many_gives_what_searching_for_each_gives(backend: Backend, best: int | None) -> None:
    gallery = backend.open(best=best)
    queries = np.stack([X, 3 * Y, X + Y, -Z])
    assert gallery.search_many(queries) == [[]] * 4
    rng = np.random.default_rng(1)
    for i in range(30):
        gallery.enrol(f"user {i}", rng.standard_normal((2, 3)))
    assert gallery.search_many(queries, limit=4) == [gallery.search(query, limit=4) for query in queries]
    assert gallery.search_many(np.zeros((0, 3), np.float32)) == []
    with pytest.raises(GalleryError, match="shape"):
        gallery.search_many(np.zeros((2, 4), np.float32))
    gallery.close()


def test_ties_beyond_the_limit_are_settled_by_name(backend: Backend) -> None:
    for best in (None, 1):
        gallery = backend.open(best=best)
        for i in np.random.default_rng(1).permutation(40):
            gallery.enrol(f"user {i:02}", X[None])
        assert users_of(gallery.search(X + Y, limit=3)) == ["user 00", "user 01", "user 02"]
        gallery.close()


def test_a_query_changes_nothing(backend: Backend, gallery: Gallery) -> None:
    gallery.enrol("Ada", X[None], details=UserDetails(expires=START + SECOND))
    before = gallery.enrolled("Ada")
    query = np.stack([2 * X, Y])
    gallery.search_many(query)
    gallery.search(query[0])
    gallery.users()
    assert gallery.enrolled("Ada") == before
    np.testing.assert_array_equal(query, [2 * X, Y])


def test_a_crash_in_the_middle_of_enrolling_leaves_the_gallery_as_it_was(backend: Backend, gallery: Gallery) -> None:
    gallery.enrol("Ada", X[None])
    dying = backend.open()
    backend.crash(dying, "Bob", np.stack([Y, Z]))
    assert gallery.users() == {"Ada": 1}
    assert gallery.enrol("Cyd", Y[None]) == 1  # and holds no lock
    assert users_of(gallery.search(Y)) == ["Cyd", "Ada"]


def test_galleries_of_one_store_follow_each_other(backend: Backend, gallery: Gallery) -> None:
    other = backend.open(best=1)
    assert gallery.search(X) == other.search(X) == []
    other.enrol("Ada", X[None])
    gallery.enrol("Bob", Y[None])
    assert users_of(gallery.search(X)) == users_of(other.search(X)) == ["Ada", "Bob"]
    gallery.remove("Bob")
    gallery.enrol("Cyd", Z[None])  # may be given Bob's number
    other.enrol("Ada", -X[None])
    assert other.search(Z) == [Match("Cyd", 1.0), Match("Ada", 0.0)]
    assert gallery.search(Z) == [Match("Cyd", 1.0), Match("Ada", 0.0)]
    other.close()


def test_threads_may_share_one_gallery(gallery: Gallery) -> None:
    def work(worker: int) -> None:
        for i in range(10):
            gallery.enrol(f"user {worker}-{i % 5}", np.random.default_rng(i).standard_normal((1, 3)))
            assert gallery.search_many(np.stack([X, Y]))[1]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert gallery.users() == {f"user {worker}-{i}": 2 for worker in range(4) for i in range(5)}


def test_users_are_counted_without_the_expired(backend: Backend, gallery: Gallery) -> None:
    assert gallery.num_users() == 0
    gallery.enrol("Ada", np.stack([X, Y]))
    gallery.enrol("Bob", Z[None], details=UserDetails(expires=START + SECOND))
    assert gallery.num_users() == 2
    backend.clock.advance(1.5)
    assert gallery.num_users() == len(gallery.users()) == 1


@pytest.fixture
def forgiving(backend: Backend) -> Iterator[Gallery]:
    """A gallery with a grace time, that keeps recordings where it has a key to keep them under."""
    opened = backend.open(grace=GRACE, keep_recordings=backend.key is not None)
    yield opened
    opened.close()


def everything(gallery: Gallery, user: str) -> tuple[object, ...]:
    return gallery.enrolled(user), gallery.embeddings(user).tolist(), gallery.recordings(user)


def test_a_removed_user_is_nowhere_until_restored_and_then_exactly_as_before(
    backend: Backend, forgiving: Gallery
) -> None:
    other = backend.open()
    files = [b"one", b"two"] if forgiving.keeps_recordings else None
    details = UserDetails({"k": "v"}, "signed", START + 60 * SECOND)
    forgiving.enrol("Ada", np.stack([X, Y]), details=details, recordings=files)
    forgiving.enrol("Bob", Z[None])
    before = everything(forgiving, "Ada")
    assert users_of(other.search(X)) == ["Ada", "Bob"]
    backend.clock.advance(1)
    assert forgiving.remove("Ada") is True
    for gallery in (forgiving, other):
        assert gallery.users() == {"Bob": 1}
        assert gallery.num_users() == 1
        assert users_of(gallery.search(X)) == ["Bob"]
        assert gallery.enrolled("Ada") is None
        assert gallery.embeddings("Ada").shape == (0, 3)
        assert gallery.recordings("Ada") == []
        assert gallery.update("Ada", UserDetails()) is False
    assert forgiving.remove("Ada") is False
    backend.clock.advance(9.9)
    assert other.restore("Ada") is True  # the grace time is the one of the removal
    for gallery in (forgiving, other):
        assert everything(gallery, "Ada") == before
        assert users_of(gallery.search(X)) == ["Ada", "Bob"]
    assert forgiving.restore("Ada") is False
    other.close()


def test_after_the_grace_time_nothing_can_be_restored(backend: Backend, forgiving: Gallery) -> None:
    forgiving.enrol("Ada", X[None])
    forgiving.remove("Ada")
    backend.clock.advance(10)
    assert forgiving.restore("Ada") is False
    assert actions(forgiving.events()) == ["erase", "remove", "enrol"]


def test_enrolling_a_name_anew_erases_whoever_had_it(forgiving: Gallery) -> None:
    forgiving.enrol("Ada", X[None], details=UserDetails({"k": "v"}))
    forgiving.remove("Ada")
    assert forgiving.enrol("Ada", Y[None]) == 1
    np.testing.assert_array_equal(forgiving.embeddings("Ada"), [Y])
    assert forgiving.enrolled("Ada") == ("Ada", 1, START, START, UserDetails())
    assert forgiving.restore("Ada") is False
    assert actions(forgiving.events()) == ["enrol", "erase", "remove", "enrol"]


def test_a_removal_without_grace_time_takes_who_could_be_restored(backend: Backend, forgiving: Gallery) -> None:
    forgiving.enrol("Ada", X[None])
    forgiving.remove("Ada")
    strict = backend.open()
    assert strict.remove("Ada") is True
    assert strict.remove("Ada") is False
    assert strict.restore("Ada") is False
    strict.close()


def test_a_user_whose_time_is_over_cannot_be_restored(backend: Backend, forgiving: Gallery) -> None:
    forgiving.enrol("Ada", X[None], details=UserDetails(expires=START + 3 * SECOND))
    forgiving.remove("Ada")
    backend.clock.advance(3)
    assert forgiving.restore("Ada") is False
    assert actions(forgiving.events()) == ["expire", "remove", "enrol"]


def test_without_a_grace_time_a_removal_is_for_good(gallery: Gallery) -> None:
    gallery.enrol("Ada", X[None])
    assert gallery.remove("Ada") is True
    assert gallery.restore("Ada") is False
    assert gallery.restore("Bob") is False
    assert actions(gallery.events()) == ["erase", "remove", "enrol"]


def test_a_grace_time_that_is_none_is_refused(backend: Backend) -> None:
    for grace in (-SECOND, timedelta(days=4000)):
        with pytest.raises(GalleryError, match="grace time"):
            backend.open(grace=grace)


def actions(events: list[GalleryEvent]) -> list[str]:
    return [event.action for event in events]


def test_every_change_is_logged_with_who_did_it_and_without_names(backend: Backend, gallery: Gallery) -> None:
    gallery.enrol("Ada", np.stack([X, Y]), by="front door")
    backend.clock.advance(1)
    gallery.update("Ada", UserDetails({"k": "v"}), by="名")
    gallery.enrol("Bob", Z[None], details=UserDetails(expires=START + 3 * SECOND))
    gallery.remove("Ada", by="admin")
    backend.clock.advance(2)
    gallery.record_copy("tape 7", by="night job")
    events = gallery.events()
    ada, bob = events[-1].user_tag, events[-3].user_tag
    assert ada != bob
    assert events == [
        (START + 3 * SECOND, "copy", None, 0, "night job"),
        (START + 3 * SECOND, "expire", bob, 1, None),
        (START + SECOND, "erase", ada, 2, "admin"),
        (START + SECOND, "remove", ada, 2, "admin"),
        (START + SECOND, "enrol", bob, 1, None),
        (START + SECOND, "update", ada, 0, "名"),
        (START, "enrol", ada, 2, "front door"),
    ]
    assert gallery.events(user="Ada") == [event for event in events if event.user_tag == ada]
    assert gallery.events(user="Bob") == [event for event in events if event.user_tag == bob]
    assert gallery.events(user="Cyd") == []
    assert gallery.events(limit=2) == events[:2]
    assert gallery.events(user="Ada", limit=1) == events[2:3]
    assert "Ada" not in str(events)


def test_what_changes_nothing_is_not_logged(gallery: Gallery) -> None:
    gallery.update("Ada", UserDetails())
    gallery.remove("Ada")
    gallery.restore("Ada")
    with pytest.raises(GalleryError):
        gallery.enrol("Ada", np.zeros((1, 3)))
    gallery.search(X)
    gallery.users()
    assert gallery.events() == []
    with pytest.raises(GalleryError, match="at least one"):
        gallery.events(limit=0)


def test_a_name_has_another_tag_in_another_gallery(request: pytest.FixtureRequest, gallery: Gallery) -> None:
    gallery.enrol("Ada", X[None])
    for make in BACKENDS.values():
        elsewhere = make()
        other = elsewhere.open()
        other.enrol("Ada", X[None])
        assert other.events()[0].user_tag != gallery.events()[0].user_tag
        other.close()
        elsewhere.discard()


def test_the_log_and_the_copies_are_there_after_reopening(backend: Backend) -> None:
    first = backend.open()
    first.enrol("Ada", X[None], by="front door")
    first.record_copy("backup on tape 7, 名")
    first.close()
    second = backend.open()
    assert [(event.action, event.by) for event in second.events()] == [("copy", None), ("enrol", "front door")]
    assert [event.action for event in second.events(user="Ada")] == ["enrol"]
    assert second.copies() == [(START, "backup on tape 7, 名")]
    second.close()


def test_copies_are_listed_newest_first(backend: Backend, gallery: Gallery) -> None:
    assert gallery.copies() == []
    gallery.record_copy("the first")
    backend.clock.advance(1)
    gallery.record_copy("the second")
    assert gallery.copies() == [(START + SECOND, "the second"), (START, "the first")]


def test_an_import_keeps_the_time_of_enrolment(backend: Backend, gallery: Gallery) -> None:
    gallery.enrol("Ada", X[None], enrolled=START - 20 * SECOND)
    backend.clock.advance(1)
    gallery.enrol("Ada", X[None], enrolled=START - 30 * SECOND)
    gallery.enrol("Ada", X[None], enrolled=START - 10 * SECOND)
    gallery.enrol("Ada", X[None])
    assert gallery.enrolled("Ada") == ("Ada", 4, START - 30 * SECOND, START + SECOND, UserDetails())
    assert actions(gallery.events()) == ["enrol", "import", "import", "import"]
    elsewhere = (START + SECOND).astimezone(timezone(timedelta(hours=-5)))  # now, in another zone
    gallery.enrol("Bob", X[None], enrolled=elsewhere)
    assert gallery.enrolled("Bob") == ("Bob", 1, START + SECOND, START + SECOND, UserDetails())
    for wrong, reason in ((START + 2 * SECOND, "yet to come"), (ZONELESS, "no time zone")):
        with pytest.raises(GalleryError, match=reason):
            gallery.enrol("Cyd", X[None], enrolled=wrong)
    assert gallery.enrolled("Cyd") is None


def test_recordings_are_kept_where_asked_in_the_order_of_the_embeddings(backend: Backend) -> None:
    if backend.key is None:
        with pytest.raises(GalleryError, match="give a key"):
            backend.open(keep_recordings=True)
        return
    gallery = backend.open(keep_recordings=True)
    assert gallery.keeps_recordings
    large = np.random.default_rng(0).bytes(300_000)
    gallery.enrol("Ada", np.stack([X, Y]), recordings=[b"one", large])
    gallery.enrol("Ada", Z[None])
    gallery.enrol("Ada", np.stack([Z, X]), recordings=[b"four", None])
    gallery.enrol("Bob", X[None], recordings=[b"Bob's"])
    assert gallery.recordings("Ada") == [b"one", large, None, b"four", None]
    with pytest.raises(GalleryError, match="one file for each"):
        gallery.enrol("Ada", np.stack([X, Y]), recordings=[b"one"])
    with pytest.raises(GalleryError, match="one file for each"):
        gallery.enrol("Ada", X[None], recordings=[b""])
    other = backend.open()  # keeps no new ones, and gives those that are there
    assert not other.keeps_recordings
    assert other.recordings("Ada") == [b"one", large, None, b"four", None]
    assert other.remove("Ada")
    assert gallery.recordings("Ada") == []
    assert gallery.recordings("Bob") == [b"Bob's"]
    other.close()
    gallery.close()


def test_recordings_for_a_gallery_that_keeps_none_are_refused(gallery: Gallery) -> None:
    assert not gallery.keeps_recordings
    with pytest.raises(GalleryError, match="keeps no recordings"):
        gallery.enrol("Ada", X[None], recordings=[b"one"])
    assert gallery.users() == {}
    gallery.enrol("Ada", X[None])
    assert gallery.recordings("Ada") == [None]
    assert gallery.recordings("Bob") == []
