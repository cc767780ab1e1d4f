"""A horse in one of ten coats and nine poses: its proportions, legs, hair and tack."""

from collections.abc import Sequence

import numpy as np

from train.sample.chance import Rng, pick
from train.sample.clay import Clay, Figure, Part
from train.sample.colours import CLOTH, tint
from train.sample.patterns import PATTERNS
from train.sample.space import Array, Frame, turn, unit, vec

# fmt: off
COATS = [  # body, lower legs, mane and tail, pattern and its colour, how often
    ((38, 66, 118), (24, 24, 28), (22, 22, 25), "cloudy", (30, 50, 90), 4),  # bay
    ((40, 78, 156), (42, 80, 150), (48, 92, 170), "cloudy", (30, 60, 125), 3),  # chestnut
    ((38, 36, 38), (30, 28, 29), (22, 21, 22), "cloudy", (56, 52, 54), 3),  # black
    ((150, 148, 146), (88, 84, 82), (90, 86, 84), "dapple", (206, 204, 200), 3),  # dapple grey
    ((218, 222, 226), (190, 196, 204), (232, 234, 236), "cloudy", (192, 198, 206), 3),  # white
    ((92, 156, 206), (150, 200, 228), (206, 228, 238), "cloudy", (70, 130, 184), 3),  # palomino
    ((104, 142, 172), (44, 48, 58), (34, 36, 42), "cloudy", (84, 120, 152), 2),  # dun
    ((36, 58, 104), (226, 230, 234), (40, 44, 58), "patches", (226, 230, 234), 3),  # pinto
    ((36, 35, 37), (224, 226, 228), (30, 30, 32), "patches", (226, 228, 230), 2),  # piebald
    ((206, 208, 212), (120, 120, 126), (110, 108, 110), "spots", (50, 50, 62), 2),  # appaloosa
]
HORSE_BODY: list[Part] = [
    ("main", 0.84, False, [(-0.5, 0.81, 0, 0.13), (-0.4, 0.79, 0, 0.2), (-0.2, 0.775, 0, 0.192), (0, 0.757, 0, 0.2),
                           (0.2, 0.757, 0, 0.213), (0.36, 0.775, 0, 0.17)]),
    ("main", 0.75, False, [(-0.05, 0.86, 0, 0.08), (0.15, 0.885, 0, 0.09), (0.3, 0.88, 0, 0.105)]),  # withers
    ("main", 0.8, True, [(0.27, 0.86, 0.06, 0.09), (0.36, 0.72, 0.075, 0.11), (0.29, 0.62, 0.095, 0.08)]),  # shoulder
    ("main", 0.8, True, [(-0.42, 0.86, 0.07, 0.13), (-0.4, 0.7, 0.09, 0.135)]),  # haunch
    ("main", 1.15, False, [(0.39, 0.73, 0, 0.12)]),  # breast
]
HORSE_HEAD: list[Part] = [  # along the nose, toward the brow, to the left
    ("coat", 0.74, False, [(0, 0, 0, 0.08), (0.12, 0, 0, 0.086), (0.25, -0.005, 0, 0.063)]),
    ("coat", 0.66, False, [(0.09, -0.055, 0, 0.088)]),  # jaw
    ("coat", 0.7, False, [(0.12, -0.06, 0, 0.06), (0.29, -0.048, 0, 0.042)]),
    ("muzzle", 0.8, False, [(0.28, -0.012, 0, 0.057), (0.35, -0.012, 0, 0.053), (0.385, -0.022, 0, 0.046)]),
    ("muzzle", 0.9, False, [(0.31, -0.052, 0, 0.036), (0.375, -0.058, 0, 0.027)]),  # chin
    ("lid", 1.0, True, [(0.118, 0.044, 0.05, 0.016), (0.158, 0.036, 0.05, 0.014)]),
    ("dark", 1.0, True, [(0.136, 0.034, 0.054, 0.018)]),  # eye
    ("white", 1.0, True, [(0.139, 0.043, 0.068, 0.005)]),
    ("dark", 1.0, True, [(0.4, 0.002, 0.03, 0.013), (0.39, 0.012, 0.038, 0.01)]),  # nostril
    ("dark", 1.0, True, [(0.34, -0.05, 0.036, 0.006), (0.4, -0.046, 0.022, 0.006)]),  # mouth
    ("coat", 1.0, True, [(-0.02, 0.05, 0.042, 0.026), (-0.035, 0.1, 0.055, 0.027), (-0.04, 0.165, 0.06, 0.007)]),  # ear
    ("lid", 1.0, True, [(0.0, 0.085, 0.053, 0.014), (-0.018, 0.13, 0.06, 0.009)]),
]
BLAZE: list[Part] = [("white", 1.0, False, [(0.09, 0.063, 0, 0.024), (0.3, 0.035, 0, 0.016)])]
FORE, HIND = (0.02, 0.0, 0.5), (0.38, -0.62, 0.04, 0.5)
# Body pitch, neck, head (0 ahead, up positive), metres off the ground, wind in the hair, how often; then the legs, left
# fore, right fore, left hind, right hind: forearm or thigh and gaskin, cannon, pastern; 0 hangs down, ahead positive
HORSE_POSES = [
    ((0.0, 0.85, -0.7, 0.0, 0.1, 4), FORE, (-0.06, -0.04, 0.5), HIND, (0.25, -0.75, -0.04, 0.5)),  # stands
    ((0.0, 0.55, -0.9, 0.0, 0.1, 2), FORE, FORE, (0.5, -0.45, 0.2, 0.2), HIND),  # rests
    ((0.0, 0.7, -0.7, 0.0, 0.2, 3), (0.4, 0.25, 0.6), (-0.32, -0.4, 0.1),
     (0.12, -0.95, -0.3, 0.0), (0.75, -0.35, 0.35, 0.6)),
    ((0.02, 0.9, -0.75, 0.05, 0.5, 3), (1.1, -0.75, -1.2), (-0.35, -0.45, 0.0),
     (0.0, -1.1, -0.55, -0.8), (0.9, -0.4, 0.2, 0.5)),
    ((0.05, 0.5, -0.4, 0.16, 1.3, 3), (1.25, 0.95, 0.6), (0.95, -0.5, -1.0),
     (-0.25, -1.2, -1.0, -1.2), (0.1, -1.25, -0.8, -0.9)),
    ((-0.05, 0.6, -0.55, 0.14, 1.0, 2), (0.35, -1.2, -1.7), (-0.1, -1.0, -1.5),
     (1.15, -0.1, 0.5, 0.6), (0.95, -0.35, 0.3, 0.4)),
    ((0.8, 0.6, -0.4, 0.0, 0.6, 2.5), (1.35, -0.55, -1.2), (1.7, -0.1, -0.9),
     (0.75, -0.55, 0.25, 0.6), (0.55, -0.75, 0.1, 0.6)),
    ((-0.03, -0.68, -1.25, 0.0, 0.0, 3), (0.28, 0.2, 0.6), (-0.18, -0.1, 0.4), HIND, (0.2, -0.8, -0.1, 0.4)),  # grazes
    ((0.35, 0.55, -0.45, 0.3, 1.0, 2), (1.6, -0.5, -1.3), (1.4, -0.7, -1.4),
     (-0.3, -1.2, -0.9, -0.9), (-0.15, -1.1, -0.7, -0.8)),
]
# fmt: on


def horse(rng: Rng) -> Figure:
    clay = Clay()
    *paints, pattern, second, _ = pick(rng, COATS, [coat[-1] for coat in COATS])
    coat, legs, hair = (tint(rng, paint, 9) for paint in paints)
    (pitch, neck_up, head_up, lift, wind, _), *swings = pick(rng, HORSE_POSES, [pose[0][-1] for pose in HORSE_POSES])
    bulk = rng.uniform(0.92, 1.1)
    white, nose = tint(rng, (226, 230, 234), 6), pick(rng, [(60, 60, 66), (60, 60, 66), (150, 160, 205)])
    palette = {"main": coat, "coat": coat, "lid": 0.55 * coat, "dark": vec(18, 17, 21), "white": white,
               "muzzle": 0.5 * coat + 0.5 * vec(*nose)}  # fmt: skip

    hip = vec(-0.4, 0.78, 0)
    axes = turn(pitch=pitch + rng.normal(0, 0.03))
    body = Frame(hip - axes @ hip, axes)
    clay.build(body, HORSE_BODY, palette, bulk)
    _horse_legs(rng, clay, body, swings, pitch, coat, legs, white)

    look, neck_up = rng.normal(0, 0.28), neck_up + rng.normal(0, 0.1) + 0.5 * pitch
    neck = Frame(body(0.3, 0.84, 0), turn(look, neck_up), 0.64 if neck_up < 0 else 0.5)
    poll = neck(1, 0.07, 0)
    crest = [neck(-0.2, -0.08, 0), neck(-0.02, 0, 0), neck(0.45, 0.06, 0), neck(0.92, 0.03, 0)]
    clay.stroke(crest, [0.2, 0.182, 0.132, 0.088], coat, wide=0.66, grain=1, step=0.3)
    head = Frame(poll, turn(1.5 * look, head_up + rng.normal(0, 0.1) + 0.35 * pitch), rng.uniform(1.06, 1.18))
    clay.build(head, HORSE_HEAD + BLAZE * int(rng.random() < 0.45), palette)
    _horse_hair(rng, clay, neck, head, body(-0.6, 0.88, 0), hair, wind)
    if rng.random() < 0.3:
        strap = tint(rng, pick(rng, [(40, 40, 160), (150, 70, 30), (40, 60, 90), (60, 120, 40)]), 10)
        for x, tall, wide in ((0.05, 0.1, 0.07), (0.25, 0.078, 0.052)):
            ring = [head(x, np.cos(a) * tall - 0.018, np.sin(a) * wide) for a in np.linspace(0, 2 * np.pi, 17)]
            clay.stroke(ring, [0.011] * 17, strap, step=0.8)
        for z in (1, -1):
            clay.stroke([head(0.05, -0.03, 0.071 * z), head(0.25, -0.02, 0.053 * z)], [0.011] * 2, strap, step=0.8)
    if rng.random() < 0.25:
        leather, cloth = tint(rng, pick(rng, [(24, 42, 80), (30, 30, 34)]), 8), tint(rng, pick(rng, CLOTH))
        for paint, high, xs, reach in ((cloth, 0.0, (-0.14, 0.18), 1.35), (leather, 0.02, (-0.06, 0.1), 0.9),
                                       (leather, 0.02, (0.04, 0.08), 2.2)):  # fmt: skip
            for x in np.arange(*xs, 0.028):
                angles = np.linspace(-reach, reach, 9)
                arc = [
                    body(x, 0.75 + (0.245 * np.cos(a) + high) * bulk, (0.195 + high) * bulk * np.sin(a)) for a in angles
                ]
                clay.stroke(arc, [0.032] * 9, paint, step=0.7)
        seat = [body(x, y, 0) for x, y in ((-0.13, 1.03), (-0.09, 1.0), (0.05, 0.99), (0.11, 1.05))]
        clay.stroke(seat, [0.04, 0.045, 0.045, 0.03], leather, wide=1.8)
    rows, close = clay.stand(head(0.06, 0, 0))
    return Figure(rows, close, PATTERNS[pattern](rng), tint(rng, second, 8), 0.22, lift)


def _horse_legs(rng: Rng, clay: Clay, body: Frame, swings: Sequence[Sequence[float]], pitch: float, coat: Array,
                points: Array, white: Array) -> None:  # fmt: skip
    hoof, mid = tint(rng, pick(rng, [(40, 42, 46), (70, 84, 100)]), 6), (coat + points) / 2
    for number, swing in enumerate(swings):
        side, fore = (1, -1)[number % 2], number < 2
        sock = white if rng.random() < 0.4 else points
        joints = [body(0.28, 0.62, side * 0.1) if fore else body(-0.41, 0.79, side * 0.095)]
        lengths, radii = (
            ((0.3, 0.2, 0.085), (0.088, 0.05)) if fore else ((0.22, 0.3, 0.255, 0.085), (0.14, 0.115, 0.053))
        )
        splay = side * rng.normal(0.01, 0.03)
        for angle, length in zip(np.array(swing) + rng.normal(0, 0.05, len(swing)), lengths, strict=True):
            angle += 0.3 * pitch * fore
            joints.append(joints[-1] + length * vec(np.sin(angle), -np.cos(angle), splay))
        *upper, knee, fetlock, toe = joints
        clay.stroke([*upper, knee], radii, [coat] * len(upper) + [mid], grain=1, round_=False, wide=0.8, step=0.34)
        clay.stroke([knee], [0.046 if fore else 0.053], mid, wide=0.85)
        shin = [knee, 0.6 * knee + 0.4 * fetlock, 0.3 * knee + 0.7 * fetlock, fetlock, toe]
        clay.stroke(shin, [0.041, 0.03, 0.028, 0.038, 0.034], [mid, points, sock, sock, sock], round_=False)
        down = unit(toe - fetlock)
        clay.stroke([toe + 0.012 * down, toe + 0.05 * down], [0.039, 0.049], hoof)


def _horse_hair(rng: Rng, clay: Clay, neck: Frame, head: Frame, dock: Array, hair: Array, wind: float) -> None:
    """Mane, forelock and tail: locks that hang, blown back by speed."""
    fall, long = pick(rng, (1, -1)), rng.uniform(0.14, 0.26)
    for t in np.linspace(-0.1, 1.03, 30):
        side = fall if rng.random() < 0.8 else -fall
        root = neck(t, 0.29 - 0.11 * t + 0.07 * np.sin(np.pi * np.clip(t, 0, 1)), 0)
        drop = unit(vec(-0.15 - 0.3 * wind, -0.8, 0) - 0.2 * neck.axes[:, 0] + rng.normal(0, 0.12, 3))
        out = side * 0.08 * neck.axes[:, 2] + rng.normal(0, 0.01, 3)
        points = [root, root + out + 0.35 * long * drop, root + 1.15 * out + long * drop]
        clay.strand(points, [0.024, 0.02, 0.01], tint(rng, hair, 7))
    for _ in range(7):
        x, y, z = rng.normal(0, 0.014, 3)
        points = [head(-0.03, 0.085 + y, z), head(0.05 + x, 0.105, 2 * z), head(0.15 + x, 0.07, 3 * z)]
        clay.strand(points, [0.019, 0.017, 0.01], tint(rng, hair, 7))
    long, carry = rng.uniform(0.5, 0.68), 0.25 * wind + rng.uniform(0, 0.1)
    bends = (
        (-0.09, 0.02 + 0.2 * carry),
        (-0.14 - 0.5 * carry, 0.4 * (carry - long)),
        (-0.1 - carry, 0.8 * carry - long),
    )
    for _ in range(16):
        stray = rng.normal(0, 0.03, 3)
        points = [dock, *(dock + vec(x, y, 0) + k * stray for k, (x, y) in zip((0.3, 1, 1.5), bends, strict=True))]
        clay.strand(points, [0.026, 0.034, 0.028, 0.012], tint(rng, hair, 7))
