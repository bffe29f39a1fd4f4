"""The paper's experiments by name, METHOD_MODALITIES, and its baselines.

earth-embed train experiments/paper/list.py:melt_image_text
"""

from common import IMAGE, PHOTO, TEXT, melt, pair, paper, salt

from earth_embed.config import Pair
from earth_embed.encoders import published

experiments = {
    experiment.name: experiment
    for experiment in (
        # SatCLIP (arXiv 2311.17179): its location encoder, L = 10 with dropout, and symmetric loss.
        paper("satclip", Pair("symmetric"), IMAGE, location=published.satclip(10)),
        # The same for the 500 epochs of its own publication.
        paper("satclip_500", Pair("symmetric"), IMAGE, location=published.satclip(10), epochs=500),
        # GeoCLIP (arXiv 2309.16020): its location encoder, without its queue of extra locations.
        paper("geoclip", Pair(), PHOTO, location=published.geoclip()),
        pair(IMAGE),
        pair(PHOTO),
        pair(TEXT),
        melt(IMAGE, PHOTO),
        melt(IMAGE, TEXT),
        melt(PHOTO, TEXT),
        melt(IMAGE, PHOTO, TEXT),
        salt(IMAGE, PHOTO),
        salt(IMAGE, TEXT),
        salt(PHOTO, TEXT),
        salt(IMAGE, PHOTO, TEXT),
    )
}
