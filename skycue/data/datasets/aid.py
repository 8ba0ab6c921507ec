"""AID: 10,000 images of 30 classes from Google Earth, 220 to 420 of each class.

Xia et al., "AID: A Benchmark Data Set for Performance Evaluation of Aerial Scene Classification",
TGRS 2017, https://arxiv.org/abs/1608.05167.
"""

from skycue.data.datasets.facts import SceneFacts, named

FACTS = SceneFacts(
    name="aid",
    title="AID",
    url="https://captain-whu.github.io/AID/",
    license="not stated",
    citation="Xia, Hu, Hu, Shi, Bai, Zhong, Zhang, Lu. IEEE Trans. Geosci. Remote Sens. 55(7), "
    "2017, 3965-3981",
    gsd_m=(0.5, 8.0),
    image_size=(600, 600),
    n_images=10_000,
    class_names=named(
        "Airport BareLand BaseballField Beach Bridge Center Church Commercial "
        "DenseResidential Desert Farmland Forest Industrial Meadow MediumResidential Mountain "
        "Park Parking Playground Pond Port RailwayStation Resort River School "
        "SparseResidential Square Stadium StorageTanks Viaduct"
    ),
)
