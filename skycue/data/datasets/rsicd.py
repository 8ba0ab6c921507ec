"""RSICD: 10,921 images with five captions each; 10,000 of them in 30 classes, named as AID's.

Lu et al., "Exploring Models and Data for Remote Sensing Image Caption Generation", TGRS 2017,
https://arxiv.org/abs/1712.07835. The class stands in the file names; 921 files name none and are no
part of a folder-per-class copy.
"""

from skycue.data.datasets.facts import SceneFacts, named

FACTS = SceneFacts(
    name="rsicd",
    title="RSICD",
    url="https://github.com/201528014227051/RSICD_optimal",
    license="not stated",
    citation="Lu, Wang, Zheng, Li. IEEE Trans. Geosci. Remote Sens. 56(4), 2018, 2183-2195",
    gsd_m=(0.5, 8.0),  # those of AID, where the images with a class come from
    image_size=(224, 224),
    n_images=10_000,  # with a class; 10,921 in all
    class_names=named(
        "airport bareland baseballfield beach bridge center church commercial "
        "denseresidential desert farmland forest industrial meadow mediumresidential mountain "
        "park parking playground pond port railwaystation resort river school "
        "sparseresidential square stadium storagetanks viaduct"
    ),
)
