"""The order is a permutation in every epoch, another one each time, and a function of position alone."""

import numpy as np
import pytest

from ganformer.data.shuffle import Order

COUNTS = [1, 2, 3, 4, 5, 16, 17, 63, 64, 65, 1000]


@pytest.mark.parametrize("count", COUNTS)
def test_every_epoch_shows_every_image_once(count):
    order = Order(count, seed=7)
    for epoch in range(4):
        assert sorted(order.indices(epoch * count, count)) == list(range(count))


def test_epochs_and_seeds_differ():
    orders = [Order(1000, seed).indices(epoch * 1000, 1000) for seed in (0, 1) for epoch in (0, 1, 2)]
    for i, one in enumerate(orders):
        for other in orders[:i]:
            assert (one == other).sum() < 10  # 1 is expected


def test_does_not_depend_on_how_it_is_asked():
    order = Order(37, seed=3)
    whole = order.indices(0, 200)
    assert [int(order.indices(i, 1)[0]) for i in range(200)] == whole.tolist()
    assert (
        np.concatenate([order.indices(0, 60), order.indices(60, 3), order.indices(63, 137)]).tolist() == whole.tolist()
    )
    assert order.indices(5, 0).shape == (0,)


def test_every_image_is_as_likely_at_every_place():
    epochs, count = 6000, 6
    shown = Order(count, seed=1).indices(0, epochs * count).reshape(epochs, count)
    counts = np.stack([np.bincount(shown[:, place], minlength=count) for place in range(count)])
    expected = epochs / count
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    assert chi_squared < 60  # 25 degrees of freedom; beyond 60 with probability 1e-4


def test_neighbours_are_unrelated():
    shown = Order(100_000, seed=2).indices(0, 100_000).astype(float)
    assert abs(np.corrcoef(shown[:-1], shown[1:])[0, 1]) < 0.02
    assert abs(np.corrcoef(shown, np.arange(100_000))[0, 1]) < 0.02


@pytest.mark.slow
def test_reaches_far_into_a_large_data_set():
    order = Order(3_033_042, seed=0)
    far = order.indices(10**13, 64)
    assert far.dtype == np.int64
    assert 0 <= far.min() <= far.max() < 3_033_042
    assert len(set(far.tolist())) == 64
    assert np.unique(Order(300_001, seed=0).indices(0, 300_001)).size == 300_001


def test_coins_are_fair_and_do_not_follow_the_order():
    order = Order(1000, seed=4)
    coins = order.coins(0, 20_000)
    assert abs(coins.mean() - 0.5) < 0.02
    assert coins[100:110].tolist() == order.coins(100, 10).tolist()
    assert (coins[:1000] != coins[1000:2000]).any()
    assert abs(np.corrcoef(coins, order.indices(0, 20_000))[0, 1]) < 0.03
    assert (coins != Order(1000, seed=5).coins(0, 20_000)).any()


def test_places_are_evenly_drawn_and_a_function_of_the_position():
    order = Order(1000, seed=4)
    places = order.places(0, 20_000, (3, 5))
    assert places.shape == (20_000, 2)
    counts = np.bincount(places[:, 0] * 5 + places[:, 1], minlength=15)
    assert len(counts) == 15
    assert (abs(counts - 20_000 / 15) < 150).all()  # 4 standard deviations
    assert (order.places(100, 10, (3, 5)) == places[100:110]).all()
    assert (Order(1000, seed=5).places(0, 100, (3, 5)) != places[:100]).any()
    assert abs(np.corrcoef(places[:, 0], order.coins(0, 20_000))[0, 1]) < 0.03


def test_nothing_cannot_be_ordered():
    with pytest.raises(ValueError, match="at least 1 is needed"):
        Order(0, seed=0)
