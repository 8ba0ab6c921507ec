"""PatternNet: 30,400 images of 38 classes, cut from Google Earth around single patterns.

Zhou et al., "PatternNet: A Benchmark Dataset for Performance Evaluation of Remote Sensing Image
Retrieval", ISPRS Journal 2018, https://arxiv.org/abs/1706.03424. 800 images of each class.
"""

from skycue.data.datasets.facts import SceneFacts, named

FACTS = SceneFacts(
    name="patternnet",
    title="PatternNet",
    url="https://sites.google.com/view/zhouwx/dataset",
    license="research purposes",
    citation="Zhou, Newsam, Li, Shao. ISPRS J. Photogramm. Remote Sens. 145, 2018, 197-209",
    gsd_m=(0.062, 4.693),
    image_size=(256, 256),
    n_images=30_400,
    class_names=named(
        "airplane baseball_field basketball_court beach bridge cemetery chaparral "
        "christmas_tree_farm closed_road coastal_mansion crosswalk dense_residential "
        "ferry_terminal football_field forest freeway golf_course harbor intersection "
        "mobile_home_park nursing_home oil_gas_field oil_well overpass parking_lot parking_space "
        "railway river runway runway_marking shipping_yard solar_panel sparse_residential "
        "storage_tank swimming_pool tennis_court transformer_station wastewater_treatment_plant"
    ),
)
