"""Splits are stratified and share no image; the report sees what is wrong."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secmlops.images.duplicates import Removed, distinct, fingerprints
from secmlops.images.errors import InvalidImageSet
from secmlops.images.image_set import ImageSet
from secmlops.images.splits import Splits, divide, divide_published, hold_out
from secmlops.images.validation import UnfitImages, validate


def some_images(count: int, classes: int = 3, seed: int = 0) -> ImageSet:
    random = np.random.default_rng(seed)
    images = random.random((count, 1, 3, 3), dtype=np.float32)
    return ImageSet(images, np.arange(count, dtype=np.int64) % classes, tuple("abcdefghij"[:classes]))


def joined(*parts: ImageSet) -> ImageSet:
    return ImageSet(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.labels for part in parts]),
        parts[0].classes,
    )


@given(st.integers(6, 200), st.floats(0.05, 0.95), st.integers(0, 5))
def test_a_held_out_part_is_stratified_and_nothing_is_lost(count, share, seed):
    whole = some_images(count)
    rest, held = hold_out(whole, share, seed=seed)
    assert sorted(fingerprints(rest.images) + fingerprints(held.images)) == sorted(fingerprints(whole.images))
    for label in range(3):
        members, taken = (whole.labels == label).sum(), (held.labels == label).sum()
        assert 1 <= taken < members
        assert abs(taken - share * members) <= 1


def test_the_division_depends_on_the_seed_alone():
    whole = some_images(90)
    assert np.array_equal(hold_out(whole, 0.3, seed=1)[1].images, hold_out(whole, 0.3, seed=1)[1].images)
    assert not np.array_equal(hold_out(whole, 0.3, seed=1)[1].images, hold_out(whole, 0.3, seed=2)[1].images)


def test_divided_sets_share_no_image():
    whole = some_images(300)
    splits = divide(joined(whole, whole.take(slice(0, 50))), sources={"all": "sha256:0"})
    assert [len(part) for part in splits.items().values()] == [210, 45, 45]
    report = validate(splits)
    assert report.problems == ()
    assert set(report.shared.values()) == {0}


def test_published_test_images_stay_and_leave_the_training():
    train, test = some_images(240), some_images(60, seed=1)
    splits = divide_published(joined(train, test.take(slice(0, 9)), train.take([0])), test, sources={})
    assert splits.test is test
    assert len(splits.train) + len(splits.validation) == 240
    assert len(splits.validation) == 21
    assert set(validate(splits).shared.values()) == {0}


def relabelled(images: ImageSet) -> ImageSet:
    return ImageSet(images.images, (images.labels + 1) % 3, images.classes)


def test_distinct_keeps_the_first_and_the_order():
    whole = some_images(10)
    assert distinct(whole) == (list(range(10)), Removed(10))
    assert distinct(joined(whole.take([3, 1, 3, 2, 1]))) == ([0, 1, 3], Removed(5, copies=2))
    assert distinct(whole.take([])) == ([], Removed())


def test_distinct_keeps_nothing_with_two_labels():
    whole = some_images(10)
    assert distinct(joined(whole, relabelled(whole.take([3, 4])), whole.take([4, 5]))) == (
        [0, 1, 2, 5, 6, 7, 8, 9],
        Removed(14, copies=1, conflicting=5),
    )
    besides = joined(whole.take([1]), relabelled(whole.take([2, 3])), whole.take([3]))
    assert distinct(joined(whole, whole.take([1])), besides) == (
        [0, 4, 5, 6, 7, 8, 9],
        Removed(11, in_test=2, conflicting=2),
    )


def test_every_image_under_two_labels_is_seen_and_refused():
    whole = some_images(600)
    splits = divide(joined(whole, relabelled(whole)), sources={})
    assert splits.removed == Removed(1200, conflicting=1200)
    assert [len(part) for part in splits.items().values()] == [0, 0, 0]
    report = validate(splits)
    assert report.removed == splits.removed
    with pytest.raises(UnfitImages, match="1,200 of the 1,200 images to divide stand there under two labels"):
        report.require_fit()


@pytest.mark.parametrize(("conflicting", "is_refused"), [(3, False), (4, True)])
def test_one_in_a_hundred_may_be_contradictory(conflicting, is_refused):
    """Of 600 images: 3 that come twice are 6 of 603, which is less; 4 are 8 of 604, which is more."""
    whole = some_images(600)
    splits = divide(joined(whole, relabelled(whole.take(slice(conflicting)))), sources={})
    assert sum(len(part) for part in splits.items().values()) == 600 - conflicting
    assert bool(validate(splits).problems) == is_refused


def test_copies_are_counted_before_they_are_left_out():
    whole = some_images(300)
    assert divide(joined(whole, whole.take(slice(50))), sources={}).removed == Removed(350, copies=50)
    train, test = some_images(240), some_images(60, seed=1)
    both = joined(train, test.take(slice(9)), relabelled(test.take([10, 11])), train.take([0]))
    splits = divide_published(both, test, sources={})
    assert splits.removed == Removed(252, copies=1, in_test=9, conflicting=2)
    assert len(splits.train) + len(splits.validation) == 240
    assert splits.test is test


def test_sets_that_do_not_fit_are_refused():
    whole, other = some_images(30), some_images(30, classes=4)
    with pytest.raises(InvalidImageSet, match="differ"):
        Splits(whole, whole, other)
    with pytest.raises(InvalidImageSet, match="has one image"):
        hold_out(some_images(4), 0.5)
    for share in (0, 1, -1, float("nan")):
        with pytest.raises(InvalidImageSet, match="share"):
            hold_out(whole, share)


def test_the_report_counts():
    train, rest = some_images(90), some_images(30, seed=1)
    blank = ImageSet(np.full((2, 1, 3, 3), 0.5, np.float32), np.zeros(2, np.int64), train.classes)
    report = validate(Splits(joined(train, relabelled(train.take([0, 1])), blank), rest, joined(rest, train.take([0]))))
    seen = report.splits["train"]
    assert (seen.images, seen.duplicates, seen.conflicting, seen.blank) == (94, 3, 2, 2)
    assert seen.per_class == {"a": 32, "b": 31, "c": 31}
    assert seen.brightest == pytest.approx(train.images.max())
    assert report.shared == {"train/validation": 0, "train/test": 1, "validation/test": 30}
    told = " | ".join(report.problems)
    for words in (
        "2 images of train stand there under two labels",
        "2 images of train are blank",
        "validation and test",
    ):
        assert words in told
    with pytest.raises(UnfitImages, match="under two labels"):
        report.require_fit()


def test_a_class_with_few_images_is_named():
    whole = some_images(90)
    few = whole.take(~((whole.labels == 1) & (np.arange(90) > 20)))
    report = validate(Splits(few, some_images(30, seed=1), some_images(30, seed=2)))
    assert report.problems == ("train has fewer than 20 images of b (7)",)
    assert validate(Splits(few, few.take([]), few.take([]))).splits["test"].images == 0


def test_looking_at_images_takes_little_memory_besides_them():
    random = np.random.default_rng(0)
    images = random.random((20_000, 1, 16, 16), dtype=np.float32)
    whole = ImageSet(images, np.arange(20_000) % 3, ("a", "b", "c"))
    splits = Splits(whole, whole.take(slice(20)), whole.take(slice(20)))
    tracemalloc.start()
    try:
        seen = validate(splits).splits["train"]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert seen.deviation == pytest.approx(images.std(dtype=np.float64), rel=1e-9)
    assert peak < images.nbytes / 2
