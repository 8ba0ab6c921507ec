"""RSSCN7: 2,800 images of 7 classes from Google Earth at four scales, 400 of each class.

Zou et al., "Deep Learning Based Feature Selection for Remote Sensing Scene Classification", GRSL
2015, https://doi.org/10.1109/LGRS.2015.2475299. The authors' folders carry a letter (`aGrass`);
copies often drop it. The scales are 1:700, 1:1,300, 1:2,600 and 1:5,200 on screen; the ground
sampling distance is estimated from them at 96 dots an inch.
"""

from skycue.data.datasets.facts import SceneFacts, named

FACTS = SceneFacts(
    name="rsscn7",
    title="RSSCN7",
    url="https://github.com/palewithout/RSSCN7",
    license="not stated",
    citation="Zou, Ni, Zhang, Wang. IEEE Geosci. Remote Sens. Lett. 12(11), 2015, 2321-2325",
    gsd_m=(0.2, 1.4),
    image_size=(400, 400),
    n_images=2_800,
    class_names=named("field forest grass industry parking resident river_lake"),
    folder_aliases={
        "aGrass": "grass",
        "bField": "field",
        "cIndustry": "industry",
        "dRiverLake": "river_lake",
        "eForest": "forest",
        "fResident": "resident",
        "gParking": "parking",
    },
)
