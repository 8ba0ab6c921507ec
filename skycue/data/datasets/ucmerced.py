"""UC Merced Land Use: 2,100 images of 21 classes from the USGS National Map, 100 of each class.

Yang and Newsam, "Bag-of-Visual-Words and Spatial Extensions for Land-Use Classification", ACM GIS
2010, https://doi.org/10.1145/1869790.1869829. UCM-Captions adds five captions an image (Qu et al.,
"Deep Semantic Understanding of High Resolution Remote Sensing Image", CITS 2016).
"""

from skycue.data.datasets.facts import SceneFacts, named

FACTS = SceneFacts(
    name="ucm",
    title="UC Merced Land Use",
    url="http://weegee.vision.ucmerced.edu/datasets/landuse.html",
    license="public domain (USGS imagery)",
    citation="Yang, Newsam. ACM SIGSPATIAL GIS 2010, 270-279",
    gsd_m=(0.3, 0.3),
    image_size=(256, 256),
    n_images=2_100,
    class_names=named(
        "agricultural airplane baseballdiamond beach buildings chaparral denseresidential "
        "forest freeway golfcourse harbor intersection mediumresidential mobilehomepark "
        "overpass parkinglot river runway sparseresidential storagetanks tenniscourt"
    ),
)
