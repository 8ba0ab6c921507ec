"""WHU-RS19: 1,005 images of 19 classes from Google Earth, about 50 of each class.

Xia et al., "Structural High-resolution Satellite Image Indexing", ISPRS TC VII Symposium 2010; Dai
and Yang, "Satellite Image Classification via Two-layer Sparse Coding with Biased Image
Representation", GRSL 2011, https://doi.org/10.1109/LGRS.2010.2055033.
"""

from skycue.data.datasets.facts import SceneFacts, named

FACTS = SceneFacts(
    name="whurs19",
    title="WHU-RS19",
    url="https://captain-whu.github.io/BED4RS/",
    license="not stated",
    citation="Dai, Yang. IEEE Geosci. Remote Sens. Lett. 8(1), 2011, 173-176",
    gsd_m=(0.5, 0.5),
    image_size=(600, 600),
    n_images=1_005,
    class_names=named(
        "Airport Beach Bridge Commercial Desert Farmland Forest Industrial Meadow Mountain "
        "Park Parking Pond Port Residential River Viaduct footballField railwayStation"
    ),
    folder_aliases={"FootballField": "footballField", "RailwayStation": "railwayStation"},
)
