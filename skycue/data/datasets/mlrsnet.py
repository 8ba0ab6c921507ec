"""MLRSNet: 109,161 images of 46 classes, 1,500 to 3,000 of each; as folders of one label an image.

Qi et al., "MLRSNet: A Multi-label High Spatial Resolution Remote Sensing Dataset for Semantic Scene
Understanding", ISPRS Journal 2020, https://arxiv.org/abs/2010.00243. The folder is the label here.
Each image also has 1 to 13 of 60 labels, in CSV files: with their folder `Labels` beside `Images`
the dataset is read as multi-label (`label_files.py`). The folder `swimmimg_pool` is spelled so.
"""

from skycue.data.datasets.facts import SceneFacts, named

FACTS = SceneFacts(
    name="mlrsnet",
    title="MLRSNet",
    url="https://data.mendeley.com/datasets/7j9bv9vwsx",
    license="CC BY 4.0",
    citation="Qi, Zhu, Wang, Zhang, Peng, Wu, Chen, Zhao, Zang, Mathiopoulos. ISPRS J. Photogramm. "
    "Remote Sens. 169, 2020, 337-350",
    gsd_m=(0.1, 10.0),
    image_size=(256, 256),
    n_images=109_161,
    class_names=named(
        "airplane airport bareland baseball_diamond basketball_court beach bridge chaparral "
        "cloud commercial_area dense_residential_area desert eroded_farmland farmland forest "
        "freeway golf_course ground_track_field harbor&port industrial_area intersection "
        "island lake meadow mobile_home_park mountain overpass park parking_lot parkway "
        "railway railway_station river roundabout shipping_yard snowberg "
        "sparse_residential_area stadium storage_tank swimmimg_pool tennis_court terrace "
        "transmission_tower vegetable_greenhouse wetland wind_turbine"
    ),
    folder_aliases={"swimming_pool": "swimmimg_pool", "harbor_port": "harbor&port"},
)
