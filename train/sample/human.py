"""A human in one of sixteen poses: build, limbs and clothes."""

import numpy as np

from train.sample.chance import Rng, pick
from train.sample.clay import Clay, Figure, Part
from train.sample.colours import CLOTH, tint
from train.sample.head import add_head
from train.sample.patterns import PATTERNS
from train.sample.space import Array, Frame, turn, unit, vec

# fmt: off
SKIN = [(186, 208, 240), (160, 190, 228), (140, 172, 214), (104, 142, 190), (78, 112, 160), (56, 80, 122), (40, 56, 88)]
HAIR = [(24, 24, 28), (30, 38, 52), (36, 56, 92), (60, 104, 150), (104, 168, 206), (44, 82, 156), (168, 168, 170),
        (220, 222, 224)]
IDLE, DOWN, AKIMBO = (0.03, 0.14, 0.22, 0.06), (0.02, 0.07, -0.04), (-0.3, 0.75, 0.3, -0.85)
# Forward lean, seated, how often; arms, left and right: upper swing and spread, lower swing and spread; legs, left and
# right: thigh swing and spread, shin swing. 0 hangs down, ahead and outward are positive
HUMAN_POSES = [
    ((0.02, 0, 4), IDLE, IDLE, DOWN, DOWN),  # stands
    ((0.0, 0, 2), AKIMBO, AKIMBO, (0.05, 0.16, 0.0), (-0.02, 0.12, -0.05)),
    ((0.0, 0, 2), IDLE, (0.15, 1.75, 0.2, 2.9), DOWN, (0.05, 0.1, 0.0)),  # waves
    ((-0.05, 0, 2), (0.1, 2.4, 0.1, 2.9), (0.1, 2.4, 0.1, 2.8), (0.05, 0.22, 0.0), (-0.05, 0.2, -0.1)),  # cheers
    ((0.0, 0, 2), (0.05, 1.5, 0.1, 1.55), (0.05, 1.5, 0.1, 1.6), (0.05, 0.28, 0.0), (0.0, 0.28, 0.0)),  # arms wide
    ((0.0, 0, 2), (0.1, 2.1, 0.1, 2.1), (0.1, 2.1, 0.1, 2.1), (0.05, 0.6, 0.0), (0.0, 0.6, 0.0)),  # a star
    ((0.03, 0, 2), (1.45, 0.1, 1.55, 0.05), IDLE, (0.3, 0.1, 0.1), (-0.2, 0.1, -0.3)),  # points
    ((0.05, 0, 2), (0.3, 0.2, 1.4, -0.9), (0.35, 0.15, 2.5, -0.3), DOWN, (0.1, 0.1, 0.0)),  # thinks
    ((0.05, 0, 3), (-0.5, 0.12, -0.15, 0.05), (0.45, 0.12, 0.85, 0.0), (0.45, 0.04, 0.25), (-0.3, 0.04, -0.7)),  # walks
    ((0.25, 0, 3), (-0.95, 0.25, 0.4, 0.1), (0.7, 0.2, 2.1, -0.2), (1.15, 0.06, -0.25), (-0.45, 0.05, -1.45)),  # runs
    ((0.1, 0, 2), (1.3, 0.35, 1.5, 0.3), (-1.0, 0.4, -0.9, 0.4), (1.25, 0.1, -0.05), (-0.75, 0.1, -0.95)),  # lunges
    ((0.55, 0, 2), (1.0, 0.2, 1.5, -0.3), (1.0, 0.2, 1.5, -0.3), (1.75, 0.28, -0.55), (1.65, 0.28, -0.6)),  # crouches
    ((0.08, 0, 2), (0.5, 0.15, 0.9, -0.1), (0.2, 0.15, 0.5, 0.0), (1.5, 0.12, -0.05), (-0.05, 0.1, -1.5)),  # kneels
    ((0.0, 1, 3), (0.35, 0.15, 1.0, -0.15), (0.35, 0.15, 0.9, -0.1), (1.42, 0.13, 0.05), (1.4, 0.16, 0.15)),  # sits
    ((0.7, 0, 1), (1.6, 0.1, 1.7, 0.0), (1.4, 0.2, 1.6, 0.1), (0.25, 0.12, -0.1), (-0.2, 0.12, -0.3)),  # reaches
    ((-0.1, 0, 1), (1.5, 0.5, 1.6, 0.2), (-0.2, 1.3, 1.5, 0.9), (0.3, 0.35, 0.1), (-0.2, 0.3, -0.3)),  # an archer
]
# fmt: on


def aim(swing: float, spread: float, side: int) -> Array:
    """The direction of a limb that hangs down, swung ahead and then spread to its own side."""
    return vec(np.sin(swing) * np.cos(spread), -np.cos(swing) * np.cos(spread), side * np.sin(spread))


def human(rng: Rng) -> Figure:
    clay = Clay()
    (lean, seated, _), *limbs = pick(rng, HUMAN_POSES, [pose[0][-1] for pose in HUMAN_POSES])
    woman, child = bool(rng.random() < 0.5), bool(rng.random() < 0.2)
    build = rng.uniform(0.88, 1.22) if rng.random() < 0.8 else rng.uniform(1.22, 1.45)
    size, big = (0.72, 1.27) if child else (rng.uniform(0.94, 1.06), 1.04)
    skin, hair = tint(rng, pick(rng, SKIN), 8), tint(rng, pick(rng, HAIR), 8)
    clothes = [tint(rng, colour) for colour in CLOTH]
    shirt, shoe = (pick(rng, [c for c in clothes if np.abs(c - skin).sum() > 110]) for _ in range(2))
    below = pick(rng, [c for c in clothes if min(np.abs(c - skin).sum(), np.abs(c - shirt).sum()) > 110])
    wear = pick(rng, ("trousers", "shorts", "skirt", "dress"), (5, 2, 2 * woman, 2 * woman))
    below = shirt if wear == "dress" else below
    sleeve = pick(rng, (0.0, 0.5, 1.0), (1, 3, 4))

    spine = turn(rng.normal(0, 0.1), -lean + rng.normal(0, 0.04), rng.normal(0, 0.05))
    torso = Frame(vec(0, 0.95, 0), spine)
    chest = Frame(torso(0, 0.34, 0), spine @ turn(rng.normal(0, 0.2)))
    hips, broad = (0.1, 0.158) if woman else (0.09, 0.185)
    hips, broad, waist = hips * build**0.5, broad * build**0.5, 0.092 if woman else 0.108
    palette = {"main": shirt, "below": below}
    seat: list[Part] = [("below", 1.42, False, [(0, -0.02, 0, 0.112), (0, 0.06, 0, 0.11)])]
    shape: list[Part] = [
        ("main", 1.42, False, [(0, -0.29, 0, 0.112), (0, -0.17, 0, waist), (0, 0, 0, 0.118), (0, 0.09, 0, 0.098)]),
    ]
    clay.build(torso, seat, palette, build)
    clay.build(chest, shape, palette, build)
    yoke = [chest(0, 0.13, -broad), chest(0, 0.155, 0), chest(0, 0.13, broad)]
    clay.stroke(yoke, [0.066, 0.072, 0.066], shirt, grain=1)
    if build > 1.15:
        clay.stroke([torso(0.04, 0.15, 0)], [0.1 * build + 0.16 * (build - 1.1)], shirt, wide=1.2, grain=1)
    if woman and not child:
        clay.build(chest, [("main", 1.0, True, [(0.075, 0.02, 0.07, 0.064)])], palette, build**0.5)

    for side, pose in zip((1, -1), limbs[:2], strict=True):
        swing, spread, swing2, spread2 = np.array(pose) + rng.normal(0, 0.1, 4)
        twist = chest.axes if lean < 0.3 else np.eye(3)
        start = chest(0, 0.125, side * (broad + 0.012))
        elbow = start + 0.275 * twist @ aim(swing, spread, side)
        lower = twist @ aim(swing2, spread2, side)
        girth = build**0.6 * (0.9 if woman else 1.05) * np.array([0.056, 0.042, 0.028])
        _arm(clay, [start, elbow, elbow + 0.24 * lower], girth, lower, sleeve, skin, shirt)
    knees = []
    for side, pose in zip((1, -1), limbs[2:], strict=True):
        swing, spread, swing2 = np.array(pose) + rng.normal(0, [0.06, 0.03, 0.06])
        hip = torso(0, -0.05, side * hips)
        knee = hip + 0.42 * aim(swing, spread, side)
        shin = aim(swing2, spread * 0.4, side)
        # A foot is flat on the ground, unless the shin is thrown back
        foot = aim(swing2 + np.pi / 2, 0.0, side) if swing2 < -0.25 else unit(vec(1, -0.04, side * 0.25))
        girth = build**0.7 * np.array([0.098, 0.06, 0.04])
        _leg(clay, [hip, knee, knee + 0.41 * shin], girth, shin, foot, wear, skin, below, shoe)
        knees.append(knee)
    apart, middle = knees[0] - knees[1], (knees[0] + knees[1]) / 2
    if wear in ("skirt", "dress") and torso.origin[1] - middle[1] > 0.3:  # it hangs; over a lap it lies on the thighs
        hem = torso.origin + rng.uniform(0.65, 1.1) * (middle - torso.origin)
        flare = [0.112 * build, 0.14 * build**0.5, 0.15 + 0.24 * float(np.linalg.norm(apart))]
        clay.stroke([torso(0, 0.06, 0), 0.65 * torso.origin + 0.35 * hem, hem], flare, below, wide=0.4,
                    axis=unit(middle - torso.origin), grain=float(wear == "dress"), step=0.34)  # fmt: skip
    if seated:
        _stool(clay, tint(rng, pick(rng, [(60, 90, 130), (90, 90, 96), (60, 60, 120), (150, 150, 156)])), 0.78)

    throat = chest(0, 0.19, 0)
    centre = throat + (0.11 + 0.045 * big) * unit(0.5 * spine[:, 1] + vec(0.05, 0.5, 0))
    clay.stroke([throat - 0.05 * spine[:, 1], centre - vec(0, 0.06, 0)], [0.056 * build**0.3, 0.05], skin)
    nod = turn(rng.normal(0, 0.3), rng.normal(0, 0.1) + 0.6 * lean, rng.normal(0, 0.07))
    add_head(rng, clay, Frame(centre, chest.axes @ nod, big), skin, hair, woman)

    rows, close = clay.stand(centre)
    rows[:, :4] *= size
    pattern = pick(rng, ("plain", "stripes", "checks", "spots", "cloudy"), (5, 2, 1.5, 1, 2))
    return Figure(rows, size * close, PATTERNS[pattern](rng), pick(rng, clothes), 0.06)


def _arm(clay: Clay, joints: list[Array], girth: Array, lower: Array, sleeve: float, skin: Array, shirt: Array) -> None:
    start, elbow, wrist = joints
    clay.stroke(joints, girth, skin, round_=False)
    clay.stroke([elbow, 0.6 * elbow + 0.4 * wrist], girth[1] * np.array([1.0, 1.07]), skin)
    thumb = unit(np.cross(lower, np.cross(vec(1, 0.1, 0.2), lower)))
    palm = wrist + 0.05 * lower
    clay.stroke([wrist, palm], [0.03, 0.037], skin, wide=0.6, axis=unit(np.cross(lower, thumb)))
    for across in (-0.024, -0.008, 0.008, 0.024):
        root = palm + across * thumb + 0.02 * lower
        clay.stroke([root, root + 0.06 * lower + 0.5 * across * thumb], [0.0115, 0.009], skin, step=0.7)
    clay.stroke([wrist + 0.02 * lower, palm + 0.05 * thumb + 0.01 * lower], [0.014, 0.011], skin, step=0.7)
    if sleeve:  # clothes are a fatter stroke over the limb
        cuff = joints if sleeve == 1 else [start, start + (elbow - start) * 1.2 * sleeve]
        clay.stroke(cuff, girth[: len(cuff)] + 0.013, shirt, grain=1, round_=False)


def _leg(clay: Clay, joints: list[Array], girth: Array, shin: Array, foot: Array, wear: str, skin: Array, below: Array,
         shoe: Array) -> None:  # fmt: skip
    hip, knee, ankle = joints
    clay.stroke(joints, girth, skin, round_=False)
    calf = [knee, 0.65 * knee + 0.35 * ankle, 0.3 * knee + 0.7 * ankle]
    clay.stroke(calf, girth[1] * np.array([0.92, 0.97, 0.75]), skin)
    if wear == "trousers":
        clay.stroke(joints, girth + np.array([0.01, 0.012, 0.02]), below, round_=False)
    else:
        reach = 0.75 if wear == "shorts" or knee[1] > hip[1] - 0.28 else 0.3
        clay.stroke([hip, hip + reach * (knee - hip)], [girth[0] + 0.012, girth[0] - 0.006], below)
    heel = ankle + 0.045 * shin
    shape = [heel - 0.03 * foot, heel + 0.06 * foot, heel + 0.16 * foot - vec(0, 0.012, 0)]
    clay.stroke(shape, [0.044, 0.043, 0.033], shoe)
    sole = [heel - 0.03 * foot + 0.028 * shin, heel + 0.16 * foot + 0.018 * shin]
    clay.stroke(sole, [0.03, 0.028], 0.35 * shoe + 20)


def _stool(clay: Clay, wood: Array, top: float) -> None:
    for z in np.linspace(-0.2, 0.2, 6):
        clay.stroke([vec(-0.2, top, z), vec(0.2, top, z)], [0.035, 0.035], wood)
    for x, z in ((-0.19, -0.2), (-0.19, 0.2), (0.19, -0.2), (0.19, 0.2)):
        clay.stroke([vec(x, top, z), vec(1.1 * x, top - 0.3, 1.1 * z)], [0.022, 0.022], 0.8 * wood)
