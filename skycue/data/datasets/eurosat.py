"""EuroSAT: 27,000 Sentinel-2 images of 64 x 64 pixels, ten land-use classes.

Helber et al., "EuroSAT: A Novel Dataset and Deep Learning Benchmark for Land Use and Land Cover
Classification", JSTARS 2019, https://doi.org/10.1109/JSTARS.2019.2918242. The facts are those of
the RGB version; the 13-band files are not read.
"""

from skycue.data.datasets.facts import SceneFacts, named

FACTS = SceneFacts(
    name="eurosat",
    title="EuroSAT",
    url="https://github.com/phelber/EuroSAT",
    license="MIT",
    citation="Helber, Bischke, Dengel, Borth. IEEE JSTARS 12(7), 2019, 2217-2226",
    gsd_m=(10.0, 10.0),
    image_size=(64, 64),
    n_images=27_000,
    class_names=named(
        "AnnualCrop Forest HerbaceousVegetation Highway Industrial Pasture PermanentCrop "
        "Residential River SeaLake"
    ),
)
