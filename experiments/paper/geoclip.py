"""GeoCLIP (arXiv 2309.16020) as the baseline of two modalities: photographs and their locations.

Its own location encoder, without its queue of further locations, at the settings of all.
"""

from common import PHOTO, paper

from earth_embed.config import Pair
from earth_embed.encoders import published

experiment = paper("geoclip", Pair(), PHOTO, location=published.geoclip())
