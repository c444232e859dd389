import threading
import time

import pytest

from stream.channel import Channel, Closed


def run(target):
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


def test_items_come_in_order():
    channel = Channel("every", 3)
    for item in range(3):
        assert channel.put(item)
    assert len(channel) == 3
    assert [channel.get(), channel.get(), channel.get()] == [0, 1, 2]
    assert channel.dropped == 0


def test_latest_drops_the_oldest_and_counts():
    channel = Channel("latest", 2)
    kept = [channel.put(item) for item in range(5)]
    assert kept == [True, True, False, False, False]
    assert channel.dropped == 3
    assert [channel.get(), channel.get()] == [3, 4]


def test_every_without_blocking_drops_the_new_one_and_counts():
    channel = Channel("every", 1)
    assert channel.put("old")
    assert not channel.put("new", block=False)
    assert channel.dropped == 1
    assert channel.get() == "old"


def test_every_waits_for_room():
    channel = Channel("every", 1)
    channel.put(0)
    done = threading.Event()
    thread = run(lambda: (channel.put(1), done.set()))
    assert not done.wait(0.1)
    assert channel.get() == 0
    assert done.wait(20)
    thread.join(20)
    assert channel.get() == 1
    assert channel.dropped == 0


def taken_while_put(channel, count):
    """What another thread takes of the numbers that are put one after another, until the channel is closed."""
    taken = []

    def read():
        while True:
            try:
                taken.append(channel.get())
            except Closed:
                return

    reader = run(read)
    for item in range(count):
        channel.put(item)
    channel.close()
    reader.join(20)
    return taken


def test_nothing_is_lost_or_reordered_between_threads():
    channel = Channel("every", 3)
    taken = taken_while_put(channel, 2000)
    assert taken == list(range(2000))
    assert channel.dropped == 0


def test_latest_accounts_for_every_item_between_threads():
    channel = Channel("latest", 1)
    taken = taken_while_put(channel, 2000)
    assert taken == sorted(set(taken)), "in order, none twice"
    assert taken[-1] == 1999, "the newest is never the one that is lost"
    assert len(taken) + channel.dropped == 2000


def test_get_times_out():
    with pytest.raises(TimeoutError):
        Channel("latest").get(timeout=0.01)


def test_close_lets_readers_drain_then_stops_them():
    channel = Channel("every", 2)
    channel.put(1)
    channel.close()
    channel.close()
    assert channel.closed
    assert channel.get() == 1
    with pytest.raises(Closed):
        channel.get()
    with pytest.raises(Closed):
        channel.put(2)


@pytest.mark.parametrize("waiters", [1, 3])
def test_close_wakes_readers_that_wait(waiters):
    channel = Channel("latest")
    woken = []

    def read():
        with pytest.raises(Closed):
            channel.get()
        woken.append(True)

    threads = [run(read) for _ in range(waiters)]
    time.sleep(0.05)
    channel.close()
    for thread in threads:
        thread.join(20)
    assert len(woken) == waiters


def test_close_wakes_a_writer_that_waits_and_its_item_is_not_kept():
    channel = Channel("every", 1)
    channel.put(0)
    woken = threading.Event()

    def write():
        with pytest.raises(Closed):
            channel.put(1)
        woken.set()

    thread = run(write)
    time.sleep(0.05)
    channel.close()
    assert woken.wait(20)
    thread.join(20)
    assert channel.get() == 0
    with pytest.raises(Closed):
        channel.get()


def test_a_channel_that_holds_nothing_is_refused():
    with pytest.raises(ValueError, match="size 0"):
        Channel("latest", 0)


def test_what_nobody_will_read_is_dropped_and_counted():
    channel = Channel("every", 4)
    for item in range(3):
        channel.put(item)
    channel.close()
    channel.discard()
    assert (len(channel), channel.dropped) == (0, 3)
    with pytest.raises(Closed):
        channel.get()
