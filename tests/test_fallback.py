"""The hand-over between detectors: ones that fail in known ways, and real ones whose files are damaged."""

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from engines import cards
from engines.detectors import fallback
from engines.detectors.fallback import Fallback, FallbackOptions, FallbackSession
from engines.types import Detection, Detector, DetectorSession, EngineError, empty_detection
from stream.app.build import frame_set_rate
from stream.config import SyncConfig
from stream.live.synchronise import LiveMatcher
from stream.types import Frame
from tests.media import walker_frames

IMAGE = np.zeros((48, 64, 3), np.uint8)
Behaviour = Callable[[float], Detection]


def sees(name: str) -> Detection:
    return Detection(np.ones((17, 2), np.float32), np.ones(17, np.float32), np.zeros(17, bool), name)


SKIP, SAMPLE = FallbackOptions().skip, FallbackOptions().sample


class Scripted:
    """A detector whose behaviour at each time is written down by the test."""

    def __init__(self, name: str, behaviour: Behaviour | None = None) -> None:
        self.name = name
        self.behaviour = behaviour or (lambda t: sees(name))
        self.calls: list[float] = []
        self.resets = 0

    def session(self) -> DetectorSession:
        return self

    def reset(self) -> None:
        self.resets += 1

    def __call__(self, image: np.ndarray, t: float) -> Detection:
        self.calls.append(t)
        return self.behaviour(t)

    def describe(self) -> Mapping[str, str]:
        return {"model": f"{self.name}.onnx", "sha256": "0" * 64, "runtime": "script"}


def chain(*links: Scripted | str, rate: float | None = None) -> Fallback:
    """A fallback over scripted detectors; a string is the name of one that cannot be loaded."""
    known = {x.name: x for x in links if isinstance(x, Scripted)}

    def load(name: str) -> Detector:
        if name not in known:
            raise EngineError(f"weights of {name} are damaged")
        return known[name]

    return Fallback([x if isinstance(x, str) else x.name for x in links], rate=rate, load=load)


def raise_at(*, until: float = np.inf) -> Behaviour:
    def behaviour(t: float) -> Detection:
        if t < until:
            raise RuntimeError("the network\nbroke")
        return sees("a")

    return behaviour


def paced(
    session: FallbackSession, start: float, count: int, cost: Mapping[str, float], fps: float = 30.0
) -> list[str]:
    """Who answers in ``count`` frames when a detection of each takes ``cost`` seconds."""
    names = []
    for k in range(count):
        names.append(session(IMAGE, start + k / fps).origin)
        session.report(cost[names[-1]])
    return names


def test_the_first_answers_and_the_others_are_not_loaded() -> None:
    a = Scripted("a")
    owner = chain(a, "b")
    assert owner.session()(IMAGE, 0.0).origin == "a"
    assert owner.messages == []
    assert owner.describe() == a.describe() | {"order": "a,b"}


def test_the_next_takes_over_when_one_cannot_be_loaded(caplog: pytest.LogCaptureFixture) -> None:
    owner = Fallback(["x", "b"], load=lambda n: {"b": Scripted("b")}[n] if n == "b" else _damaged(n))
    session = owner.session()
    assert [session(IMAGE, float(t)).origin for t in range(0, 2000, 100)] == ["b"] * 20
    assert caplog.messages == owner.messages == ["detector x cannot be loaded (x is damaged)"]


def _damaged(name: str) -> Detector:
    raise EngineError(f"{name} is damaged")


def test_none_that_loads_is_an_error_with_every_reason() -> None:
    with pytest.raises(EngineError, match="weights of x are damaged; weights of y are damaged"):
        chain("x", "y")


def test_the_same_frame_is_answered_by_the_next_when_one_raises() -> None:
    a, b = Scripted("a", raise_at()), Scripted("b")
    owner = chain(a, b)
    session = owner.session()
    assert session(IMAGE, 0.0).origin == "b"
    assert owner.messages == [
        "detector a failed (RuntimeError: the network broke)",
        "detector b takes over from a",
    ]
    for t in range(1, 100):
        assert session(IMAGE, float(t)).origin == "b"
    assert a.calls == [0.0, 10.0, 30.0, 70.0], "tried again later, and less and less often"
    assert len(owner.messages) == 2, "said once"


def test_the_first_returns_when_it_works_again() -> None:
    a, b = Scripted("a", raise_at(until=5.0)), Scripted("b")
    owner = chain(a, b)
    session = owner.session()
    assert [session(IMAGE, float(t)).origin for t in (0, 5, 9, 10, 11)] == ["b", "b", "b", "a", "a"]
    assert owner.messages[-1] == "detector a takes over from b"


@pytest.mark.parametrize("where", ["xy", "score"])
def test_joints_that_are_not_finite_are_a_failure(where: str) -> None:
    def broken(t: float) -> Detection:
        found = sees("a")
        getattr(found, where)[3] = np.nan
        return found

    owner = chain(Scripted("a", broken), Scripted("b"))
    assert owner.session()(IMAGE, 0.0).origin == "b"
    assert owner.messages[0] == "detector a failed (joints that are not finite)"


def test_nobody_is_an_answer() -> None:
    owner = chain(Scripted("a", lambda t: empty_detection("a")), Scripted("b"))
    found = owner.session()(IMAGE, 0.0)
    assert (found.origin, found.person) == ("a", False)


def test_when_all_fail_it_is_one_line() -> None:
    owner = chain(Scripted("a", raise_at()), Scripted("b", raise_at()))
    session = owner.session()
    with pytest.raises(EngineError, match=r"detector a failed \(.*detector b failed") as caught:
        session(IMAGE, 0.0)
    assert "\n" not in str(caught.value)


def test_all_cameras_hand_over_together() -> None:
    a, b = Scripted("a", raise_at()), Scripted("b")
    owner = chain(a, b)
    first, second = owner.session(), owner.session()
    first(IMAGE, 0.0)
    assert second(IMAGE, 0.01).origin == "b"
    assert a.calls == [0.0]


def test_one_that_has_not_watched_for_a_while_forgets() -> None:
    a, b = Scripted("a"), Scripted("b")
    owner = chain(a, b)
    session = owner.session()
    session(IMAGE, 0.0)
    a.behaviour = raise_at(until=3.0)
    session(IMAGE, 1.0)
    a.behaviour = lambda t: sees("a")
    session(IMAGE, 20.0)  # back to a, with a new session as the old one broke
    a.behaviour = raise_at(until=30.0)
    session(IMAGE, 21.0)
    assert b.resets == 1


def test_live_one_that_cannot_keep_up_hands_over_and_is_tried_again() -> None:
    owner = chain(Scripted("a"), Scripted("b"), rate=30.0)
    session = owner.session()
    names = paced(session, 0.0, 60, {"a": 0.050, "b": 0.010})
    assert names == ["a"] * (SKIP + SAMPLE) + ["b"] * (60 - SKIP - SAMPLE)
    assert owner.messages == [
        "detector a takes 50 ms a view, too slow for 1 x 30 frames a second",
        "detector b takes over from a",
    ]
    assert set(paced(session, 3.0, 300, {"b": 0.010})) == {"b"}
    assert paced(session, 70.0, 60, {"a": 0.005, "b": 0.010}) == ["a"] * 60, "the machine has time again"


def test_a_slow_start_alone_is_no_reason() -> None:
    owner = chain(Scripted("a"), Scripted("b"), rate=30.0)
    session = owner.session()
    for k in range(100):
        assert session(IMAGE, k / 30).origin == "a"
        session.report(2.0 if k < SKIP else 0.2 if k % 4 == 0 else 0.010)  # loading, then a search now and then
    assert owner.messages == []


def test_files_never_choose_by_speed() -> None:
    owner = chain(Scripted("a"), Scripted("b"), rate=None)
    assert set(paced(owner.session(), 0.0, 200, {"a": 5.0})) == {"a"}
    assert owner.messages == []


def test_cameras_share_the_time() -> None:
    """20 ms a view keeps up with one camera at 30 frames a second, not with two."""
    for cameras, expected in ((1, "a"), (2, "b")):
        owner = chain(Scripted("a"), Scripted("b"), rate=30.0)
        sessions = [owner.session() for _ in range(cameras)]
        cost = {"a": 0.020, "b": 0.005}
        last = ""
        for k in range(40):
            for session in sessions:
                last = session(IMAGE, k / 30).origin
                session.report(cost[last])
        assert last == expected


def test_when_none_keeps_up_the_fastest_stays() -> None:
    owner = chain(Scripted("a"), Scripted("b"), Scripted("c"), rate=30.0)
    session = owner.session()
    names = paced(session, 0.0, 200, {"a": 0.100, "b": 0.040, "c": 0.060})
    assert names[-1] == "b"
    assert set(names[60:]) == {"b"}
    assert len(owner.messages) == len(set(owner.messages)) <= 7


def test_known_to_be_slower_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the cards' costs say that nobody later is faster, the stream is not stalled to find out."""
    costs = {"a": 30.0, "b": 8.0, "c": 17.0, "d": 12.0}
    monkeypatch.setattr(fallback, "_card_values", lambda name: {"cost_ms": costs[name]})
    links = [Scripted(n) for n in costs]
    session = chain(*links, rate=60.0).session()
    assert set(paced(session, 0.0, 100, {"a": 0.06, "b": 0.02, "c": 0.03, "d": 0.03})) == {"a", "b"}


def test_auto_is_the_most_accurate_first() -> None:
    names = fallback.order(["auto"])
    assert [n for n in names if n != "hourglass"] == [
        "movenet-thunder", "movenet-lightning", "mediapipe", "mediapipe-lite",
    ]  # fmt: skip
    assert names[0] == "hourglass", "better than Thunder on photographs of sport, and nearly as good on the demo"


def test_what_was_not_measured_counts_as_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that was just built has no figure of the demo yet: its photographs alone would flatter it."""
    real = fallback._card_values
    monkeypatch.setattr(fallback, "_card_values", lambda n: {"lspet_pck": 75} if n == "hourglass" else real(n))
    assert fallback.order(["auto"])[-1] == "hourglass"


def test_the_hourglass_goes_first_only_if_its_card_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for card in cards.WEIGHTS.glob("*.toml"):
        shutil.copy(card, tmp_path)
    text = (tmp_path / "movenet_thunder.toml").read_text()
    monkeypatch.setattr(cards, "WEIGHTS", tmp_path)
    for pck, first in (("99.0", True), ("50.0", False)):
        ours = re.sub(r"lspet_pck = \S+", f"lspet_pck = {pck}", text)
        (tmp_path / "hourglass.toml").write_text(ours)
        assert (fallback.order(["auto"])[0] == "hourglass") == first


def test_a_damaged_card_is_no_reason_to_refuse_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for card in cards.WEIGHTS.glob("*.toml"):
        shutil.copy(card, tmp_path)
    (tmp_path / "pose_landmarker_lite.toml").write_text("<<<<<<< HEAD")
    monkeypatch.setattr(cards, "WEIGHTS", tmp_path)
    assert fallback.order(("auto",))[:2] == ("hourglass", "movenet-thunder")


def test_views_side_by_side_that_fail_together_put_a_detector_off_once() -> None:
    owner = chain(Scripted("a"), Scripted("b"))
    sessions = [owner.session() for _ in range(4)]
    # All have chosen it before the first has failed.
    for _ in sessions:
        owner.failed("a", "a hiccup", 0.0)
    assert sessions[0](IMAGE, FallbackOptions().retry_s - 1).origin == "b"
    assert sessions[0](IMAGE, FallbackOptions().retry_s + 1).origin == "a"


def test_the_order_is_the_users() -> None:
    assert fallback.order(["mediapipe", "movenet-thunder", "mediapipe"]) == ("mediapipe", "movenet-thunder")
    assert fallback.order(["mediapipe", "auto"])[:2] == ("mediapipe", fallback.order(["auto"])[0])
    with pytest.raises(EngineError, match="unknown detector 'openpose'; there are auto, hourglass"):
        Fallback(["movenet-thunder", "openpose"])
    with pytest.raises(EngineError, match="no detector was asked for"):
        Fallback([])


@pytest.fixture
def damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shipped weights with one byte of Thunder changed."""
    for file in cards.WEIGHTS.glob("movenet_*"):
        shutil.copy(file, tmp_path)
    thunder = tmp_path / "movenet_thunder.onnx"
    data = bytearray(thunder.read_bytes())
    data[len(data) // 2] ^= 1
    thunder.write_bytes(data)
    monkeypatch.setattr(cards, "WEIGHTS", tmp_path)
    return tmp_path


@pytest.mark.video
def test_real_weights_that_are_damaged_hand_over(damaged: Path) -> None:
    owner = Fallback(["movenet-thunder", "movenet-lightning"])
    found = owner.session()(walker_frames([20])[0], 0.0)
    assert found.person
    assert found.origin == "movenet-lightning"
    assert len(owner.messages) == 1
    assert "do not match their card" in owner.messages[0]
    said = owner.describe_all()
    assert list(said) == ["movenet-thunder", "movenet-lightning"]
    assert said["movenet-thunder"]["runtime"] == "not loaded"


def test_the_only_one_damaged_is_an_error(damaged: Path) -> None:
    with pytest.raises(EngineError, match="do not match their card") as caught:
        Fallback(["movenet-thunder"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fps", "sets_a_second"), [((60.0, 15.0), 15), ((15.0, 60.0), 15), ((30.0, 30.0), 30), ((60.0, None), 30)]
)
def test_a_detector_has_the_time_between_two_frame_sets(fps: tuple[float | None, ...], sets_a_second: int) -> None:
    """Mixed rates: every view is detected once a frame set, and those come at the slowest camera's rate."""
    rate = frame_set_rate(fps, assumed=30.0)
    assert rate == sets_a_second
    matcher = LiveMatcher(fps, SyncConfig(interpolate=False))
    frames = sorted((n / (f or 30.0), camera, n) for camera, f in enumerate(fps) for n in range(int(2 * (f or 30.0))))
    sets = 0
    for t, camera, n in frames:
        matcher.add(camera, Frame(str(camera), n, t, IMAGE))
        sets += matcher.next() is not None
    assert sets / 2 == pytest.approx(rate, rel=0.1)
    for share_of_budget, too_slow in ((0.95, False), (1.05, True)):
        owner = chain(Scripted("a"), Scripted("b"), rate=rate)
        sessions = [owner.session() for _ in fps]
        for k in range(2 * (SKIP + SAMPLE)):
            for session in sessions:
                session(IMAGE, k / rate)
                session.report(share_of_budget * FallbackOptions().share / sets_a_second / len(fps))
        assert any("takes over" in line for line in owner.messages) == too_slow


def test_at_the_rate_that_is_measured_it_stays() -> None:
    """38 ms of the 67 that a camera of 15 frames a second leaves; of one of 30 it would be too slow."""
    owner = chain(Scripted("a"), Scripted("b"), rate=30.0)
    session = owner.session()
    owner.at_rate(15.0)
    assert paced(session, 0.0, 100, {"a": 0.038, "b": 0.01}, fps=15.0) == ["a"] * 100
    assert owner.messages == []
    owner.at_rate(30.0)
    assert paced(session, 10.0, 50, {"a": 0.038, "b": 0.01})[-1] == "b"


def test_files_have_no_rate() -> None:
    owner = chain(Scripted("a"), Scripted("b"))
    owner.at_rate(100.0)
    assert set(paced(owner.session(), 0.0, 100, {"a": 1.0})) == {"a"}


@pytest.mark.parametrize("why", ["the camera gives fewer frames", "the machine has less to do"])
def test_a_better_one_is_tried_again_when_there_has_been_room_for_some_seconds(
    why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fallback, "_card_values", lambda name: {"cost_ms": {"a": 40, "b": 10}[name]})
    owner = chain(Scripted("a"), Scripted("b"), rate=30.0)
    session = owner.session()
    cost = {"a": 0.05, "b": 0.0125}
    assert paced(session, 0.0, 60, cost)[-1] == "b"
    room_s = FallbackOptions().room_s
    if why == "the camera gives fewer frames":
        owner.at_rate(10.0)
    else:
        cost = {"a": 0.02, "b": 0.005}
    fps = 10.0 if why == "the camera gives fewer frames" else 30.0
    answers = paced(session, 2.0, round(15 * fps), cost, fps)
    back = answers.index("a") / fps
    assert room_s <= back <= room_s + 60 / fps, "after some seconds, and not only after the minute"
    assert answers[-1] == "a"


def test_one_that_is_too_slow_all_the_same_is_tried_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fallback, "_card_values", lambda name: {"cost_ms": {"a": 11, "b": 10}[name]})
    owner = chain(Scripted("a"), Scripted("b"), rate=30.0)
    session = owner.session()
    answers = paced(session, 0.0, 30 * 120, {"a": 0.05, "b": 0.01})
    begun = [k for k in range(1, len(answers)) if answers[k] == "a" and answers[k - 1] == "b"]
    assert 2 <= len(begun) <= 6 and (np.diff(begun, 2) > -SAMPLE).all(), "by the cards there always was room"


def test_a_detector_of_one_person_is_said_to_be_where_several_are_to_be_followed() -> None:
    one = chain(Scripted("a"))
    one.crowd(1, iter(range(9)))(IMAGE, 0.0)
    assert not one.messages
    for _ in range(2):
        one.crowd(6, iter(range(9)))(IMAGE, 0.0)
    assert one.messages == ["detector a follows one person in a picture, and looks for nobody else"]
