"""Views that contradict each other: every cause, in one scene after the other, with a known truth."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from engines import skeleton as sk
from engines.fusion import Fuser, FusionOptions, fuse
from engines.fusion.consensus import contradicted, reprojection_misfit
from engines.fusion.views import gather
from tests.fusion_scene import MEASURED, detect, errors, lift, person, scene

FOUR = (0, 90, 180, 270)


def mirrored(detection, width=1920):
    xy = (width - 1 - detection.xy[:, :1], detection.xy[:, 1:])
    return replace(detection, xy=np.hstack(xy)[sk.MIRROR].astype(np.float32), score=detection.score[sk.MIRROR])


def turned(camera, degrees, axis=(0.6, 0.8, 0.0)):
    """Sideways alone two level cameras cannot tell: their rays meet still, only elsewhere."""
    turn = cv2.Rodrigues(np.radians(degrees) * np.array(axis))[0]
    return replace(camera, R=turn @ camera.R, t=turn @ camera.t)


def spoiled(cause, seed, azimuths=FOUR, wrong=(1,)):
    """A scene in which the views ``wrong`` are, and what is lifted of them."""
    cameras, truth, detections, mixtures = scene(azimuths, seed)
    rng = np.random.default_rng(1000 + seed)
    other = person(rng) + [1100.0, 500.0, 0.0]
    for k in wrong:
        shown, seen_by = (other if cause == "another" else truth), cameras[k]
        if cause == "late":
            shown = truth + [500.0, 400.0, 0.0]
        elif cause == "moved":
            seen_by = turned(cameras[k], 7)
        elif cause == "exchanged":
            seen_by = cameras[wrong[(wrong.index(k) + 1) % len(wrong)]]
        elif cause == "mirrored":
            shown = truth + [500.0, 300.0, 0.0]  # in the middle of the picture a mirror shows little
        detections[k] = detect(seen_by, shown, rng)
        mixtures[k] = lift(seen_by, shown, rng)
        if cause == "mirrored":
            detections[k] = mirrored(detections[k])
            mixtures[k] = replace(mixtures[k], mean=mixtures[k].mean[:, sk.MIRROR] * [-1, 1, 1])
    return cameras, truth, detections, mixtures


def fused(which, detections, mixtures, cameras, method):
    """Of some of the views alone."""
    return fuse([detections[k] for k in which], [mixtures[k] for k in which], [cameras[k] for k in which], method)


@pytest.mark.parametrize("method", ["map", "hypotheses", "triangulate"])
@pytest.mark.parametrize("cause", ["another", "late", "moved", "mirrored"])
def test_a_view_that_the_others_contradict_is_not_used(cause, method):
    for seed in range(6):
        cameras, truth, detections, mixtures = spoiled(cause, seed)
        pose = fuse(detections, mixtures, cameras, method)
        assert pose.cameras == ("cam0", "cam2", "cam3") and pose.method == method
        assert np.median(errors(pose, truth)[MEASURED]) < (90 if method == "hypotheses" else 25)
        alone = fused((0, 2, 3), detections, mixtures, cameras, method)
        np.testing.assert_allclose(pose.joints, alone.joints, atol=2, err_msg="it pulls at nothing any more")


def test_a_view_on_the_edge_of_contradicting_leaves_the_others_agreeing():
    """In with it the pose contradicts it, without it the pose does not: it is used or left out, and nobody disputed."""
    left_out = []
    for seed in range(3):
        cameras, truth, detections, mixtures = scene(FOUR, seed)
        for degrees in np.arange(1.1, 1.5, 0.05):
            rng = np.random.default_rng(seed)
            seen = [*detections[:3], detect(turned(cameras[3], degrees), truth, rng)]
            pose = fuse(seen, mixtures, cameras, "map")
            assert pose.method == "map" and {"cam0", "cam1", "cam2"} <= set(pose.cameras), (seed, degrees)
            left_out.append(len(pose.cameras) == 3)
    assert any(left_out) and not all(left_out), "else none was on the edge"


def test_two_exchanged_cameras_are_outvoted_by_three():
    cameras, truth, detections, mixtures = spoiled("exchanged", 3, (0, 72, 144, 216, 288), (1, 2))
    pose = fuse(detections, mixtures, cameras, "map")
    assert pose.cameras == ("cam0", "cam3", "cam4") and np.median(errors(pose, truth)[MEASURED]) < 25


def test_good_views_are_all_used_and_change_nothing():
    for azimuths in (FOUR, (0, 90), (0, 20), (0, 60, 120)):
        for seed in range(15):
            cameras, _, detections, mixtures = scene(azimuths, seed)
            pose = fuse(detections, mixtures, cameras, "map")
            assert len(pose.cameras) == len(azimuths) and pose.method == "map"


@pytest.mark.parametrize("cause", ["another", "moved"])
def test_two_views_that_contradict_each_other_are_never_one_body(cause):
    inside = []
    for seed in range(25):
        cameras, truth, detections, mixtures = spoiled(cause, seed, (0, 90))
        pose = fuse(detections, mixtures, cameras, "map")
        assert pose.method == "disputed" and len(pose.cameras) == 1
        k = int(pose.cameras[0][-1])
        single = fuse([d if i == k else None for i, d in enumerate(detections)], mixtures, cameras, "map")
        np.testing.assert_array_equal(pose.joints, single.joints, err_msg="the body of one view")
        sigma = np.sqrt(np.trace(pose.cov, axis1=1, axis2=2))
        other = fuse([d if i != k else None for i, d in enumerate(detections)], mixtures, cameras, "map")
        apart = np.linalg.norm(pose.joints - other.joints, axis=-1)
        assert (sigma[MEASURED] > 0.6 * apart[MEASURED]).all()
        off = (pose.joints - truth)[MEASURED]
        inside.append((off * np.linalg.solve(pose.cov[MEASURED], off[..., None])[..., 0]).sum(-1) < 7.815)
    assert np.mean(inside) > 0.85


def test_two_against_two_is_disputed_and_goes_with_whom_was_there_before():
    for seed in range(4):
        cameras, truth, detections, mixtures = scene(FOUR, seed)
        rng = np.random.default_rng(seed)
        other = person(rng) + [1100.0, 500.0, 0.0]
        for k in (1, 2):
            detections[k], mixtures[k] = detect(cameras[k], other, rng), lift(cameras[k], other, rng)
        before = fused((1, 2), detections, mixtures, cameras, "map")
        pose = fuse(detections, mixtures, cameras, "map", previous=before)
        assert pose.method == "disputed" and pose.cameras == ("cam1", "cam2")
        assert np.median(errors(pose, other)[MEASURED]) < 40
        assert np.sqrt(np.trace(pose.cov, axis1=1, axis2=2)).min() > 400


def test_without_any_hypotheses_two_that_contradict_each_other_are_nobody():
    cameras, _, detections, _ = spoiled("moved", 0, (0, 90))
    assert fuse(detections, [None, None], cameras, "map") is None


def test_half_a_contradiction_makes_the_sigma_grow():
    cameras, truth, detections, mixtures = scene(FOUR, 2)
    sure = fuse(detections, mixtures, cameras, "map")
    rng = np.random.default_rng(0)
    detections[1] = detect(turned(cameras[1], 0.8, (0.0, 1.0, 0.0)), truth, rng)
    doubted = fuse(detections, mixtures, cameras, "map")
    assert doubted.cameras == sure.cameras
    grown = np.sqrt(np.trace(doubted.cov, axis1=1, axis2=2) / np.trace(sure.cov, axis1=1, axis2=2))
    assert grown[MEASURED].min() > 1.3


def test_what_two_views_alone_hardly_contradict_makes_the_sigma_grow_more():
    """Each of two views pulls the pose half of the way: of what is wrong most shows nowhere."""
    cameras, truth, detections, mixtures = scene((0, 90), 2)
    sure = fuse(detections, mixtures, cameras, "map")
    detections[1] = detect(turned(cameras[1], 1.2), truth, np.random.default_rng(0))
    doubted = fuse(detections, mixtures, cameras, "map")
    assert doubted.cameras == sure.cameras and doubted.method == "map"
    grown = np.sqrt(np.trace(doubted.cov, axis1=1, axis2=2) / np.trace(sure.cov, axis1=1, axis2=2))
    assert np.median(grown[MEASURED]) > 4
    assert (errors(doubted, truth) > 2 * errors(sure, truth))[MEASURED].mean() > 0.7, "and so it is"
    half = fuse(detections, mixtures, cameras, "map", options=FusionOptions(pair_grows_more=1.0))
    more = np.trace(doubted.cov, axis1=1, axis2=2) / np.trace(half.cov, axis1=1, axis2=2)
    assert np.median(more) > 5, "no miscalibration that is common is as far off"


def test_the_misfit_is_in_predicted_standard_deviations():
    """Of the detection and of the pose: what one view alone places says little about how far it is away."""
    options, misfits = FusionOptions(), []
    for seed in range(40):
        cameras, truth, detections, mixtures = scene(FOUR, seed, percent=1.0)
        views = gather(detections, mixtures, cameras, 0.2)
        misfits.append(reprojection_misfit(views, truth, [], replace(options, pose_mm=1e-3)))
    # The median length of a Gaussian in two dimensions is 1.18 standard deviations; 1 % of a person is 9.5 mm.
    assert 0.9 < np.median(misfits) < 1.5
    views = gather(detections, mixtures, cameras, 0.2)
    along = truth + 200 * (cameras[0].centre - truth) / np.linalg.norm(cameras[0].centre - truth, axis=1)[:, None]
    assert not contradicted(views, along, [0, 1], options)[0]
    assert contradicted(views, along, [0, 1], options)[[1, 3]].all()


def test_sixteen_cameras_of_which_five_are_wrong():
    wrong = (1, 4, 8, 9, 13)
    cameras, truth, detections, mixtures = spoiled("moved", 5, np.arange(16) * 22.5, wrong)
    pose = fuse(detections, mixtures, cameras, "map")
    assert {int(name[3:]) for name in pose.cameras} == set(range(16)) - set(wrong)
    assert np.median(errors(pose, truth)[MEASURED]) < 15


def test_the_fuser_keeps_the_person_when_views_come_and_go():
    """A camera that sees somebody else for a while does not make the answer jump there."""
    cameras, truth, detections, mixtures = scene((0, 90, 180), 4)
    rng = np.random.default_rng(0)
    other = person(rng) + [1200.0, 0.0, 0.0]
    fuser = Fuser(cameras, "map")
    fuser(detections, mixtures, 0.0)
    for k, wrong in enumerate(((0,), (1,), (2,), (0, 1, 2)[:1])):
        now = [detect(c, other if i in wrong else truth, rng) for i, c in enumerate(cameras)]
        lifted = [lift(c, other if i in wrong else truth, rng) for i, c in enumerate(cameras)]
        pose = fuser(now, lifted, (k + 1) / 30)
        assert np.median(errors(pose, truth)[MEASURED]) < 60 and len(pose.cameras) == 2
