"""How many images with exact masks does the renderer draw in a second, on one core?

    python -m bench.rendering

Images of 512 pixels from the first seeds, colours, masks and sensor included, on one thread. The
tiles of noise that all images share are drawn before.
"""

from bench.timing import Options, Result, best_times, read_options, report
from skycue.data.renderer.instance_scenes import render

TARGET = 20.0
SIDE = 512
N_IMAGES = 60


def measure(options: Options, *, size: int = SIDE, n_images: int = N_IMAGES) -> list[Result]:
    """Draw the images of the first seeds."""

    def draw() -> None:
        for seed in range(n_images):
            render(seed, size=size)

    draw()  # the first run makes the tiles that all images share
    rate = n_images / best_times({"images": draw}, options)["images"]
    result = Result(
        question=f"rendering {n_images} images of {size} px with their masks, one core",
        answer=f"{rate:.1f} images/s",
        target=f"at least {TARGET:g} images/s",
        met=rate >= TARGET,
        detail=f"{1000 / rate:.0f} ms an image, best of {options.rounds}",
    )
    return [result]


if __name__ == "__main__":
    chosen = read_options(__doc__)
    report(measure(chosen), chosen)
