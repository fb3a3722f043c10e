"""What a picture's caption says of it."""

OBJECTS = ("object", "thing", "emoji", "figure")
PRAISE = (", best quality", ", high quality", ", detailed", ", glossy 3d render")
POOR = (", blurry", ", low quality", ", worst quality", ", blurry, low quality")
STYLES = ("a photo of {}", "a picture of {}", "a 3d render of {}", "an image of {}", "a drawing of {}", "{} in studio light")
EMPTY_SHARE = 0.05


def with_article(phrase):
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def of_object(name, colours, rng):
    """A noun with its colour words, if any: "red car", "red and blue car"."""
    noun = name if rng.random() < 0.85 else rng.choice(OBJECTS)
    return f"{' and '.join(colours)} {noun}" if colours else noun


def of_scene(things, background, rng):
    """
    The caption of a picture; empty for one in twenty, as the negative prompt of many calls.
    @param things what of_object says of each. @param background words for it, None for one not worth a word (white).
    """
    if rng.random() < EMPTY_SHARE:
        return ""
    what = " and ".join(with_article(thing) for thing in things)
    bare = ", ".join(things)
    if background is None:
        caption = rng.choice((what, bare, rng.choice(STYLES).format(what)))
    else:
        caption = rng.choice(
            (
                f"{what} on {with_article(background)} background",
                f"{what} on {with_article(background)} background",
                f"{bare}, {background} background",
                f"{what} on {background}",
                f"{what} with {with_article(background)} background",
                f"{rng.choice(STYLES).format(what)} on {with_article(background)} background",
                f"{background} background, {bare}",
                f"{what} in front of {with_article(background)} wall",
            )
        )
    return caption + (rng.choice(PRAISE) if rng.random() < 0.1 else "")
