"""How far a run is, and its learning rate."""

import math


def progress(step, seconds, steps, minutes):
    """0..1; 1 is the end, which is at so many steps or minutes, whichever is reached first."""
    return min(max(step / steps if steps else 0, seconds / 60 / minutes if minutes else 0), 1)


def rate(peak, step, done, warm_up, floor):
    """Rises over `warm_up` steps to `peak`, and falls as a cosine to `floor` of it. @param done as `progress` tells it."""
    return peak * min(1, (step + 1) / warm_up) * (0.5 * (1 + math.cos(math.pi * done)) * (1 - floor) + floor)
