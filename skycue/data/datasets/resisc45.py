"""NWPU-RESISC45: 31,500 images of 45 classes from Google Earth, 700 of each class.

Cheng et al., "Remote Sensing Image Scene Classification: Benchmark and State of the Art",
Proceedings of the IEEE 2017, https://arxiv.org/abs/1703.00121. `RESISC12` states the subset of
twelve classes that results of this project are measured on.
"""

from skycue.data.datasets.facts import SceneFacts, named

FACTS = SceneFacts(
    name="resisc45",
    title="NWPU-RESISC45",
    url="https://gcheng-nwpu.github.io/#Datasets",
    license="not stated",
    citation="Cheng, Han, Lu. Proc. IEEE 105(10), 2017, 1865-1883",
    gsd_m=(0.2, 30.0),
    image_size=(256, 256),
    n_images=31_500,
    class_names=named(
        "airplane airport baseball_diamond basketball_court beach bridge chaparral church "
        "circular_farmland cloud commercial_area dense_residential desert forest freeway "
        "golf_course ground_track_field harbor industrial_area intersection island lake "
        "meadow medium_residential mobile_home_park mountain overpass palace parking_lot "
        "railway railway_station rectangular_farmland river roundabout runway sea_ice ship "
        "snowberg sparse_residential stadium storage_tank tennis_court terrace "
        "thermal_power_station wetland"
    ),
)

RESISC12 = SceneFacts(
    name="resisc12",
    title="the twelve-class subset of NWPU-RESISC45",
    url=FACTS.url,
    license=FACTS.license,
    citation=FACTS.citation,
    gsd_m=FACTS.gsd_m,
    image_size=FACTS.image_size,
    n_images=1_920,
    class_names=named(
        "beach commercial_area desert farmland forest industrial_area island lake mountain "
        "residential river wetland"
    ),
)
"""160 images of each class; `farmland` holds circular and rectangular farmland of the full set, and
`residential` its residential classes."""
