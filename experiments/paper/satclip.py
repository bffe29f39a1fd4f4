"""SatCLIP (arXiv 2311.17179) as the baseline of two modalities: images and their locations.

Its own location encoder, of degree 10 with dropout, and its symmetric loss, at the settings of all.
"""

from common import IMAGE, paper

from earth_embed.config import Pair
from earth_embed.encoders import published

experiment = paper("satclip", Pair("symmetric"), IMAGE, location=published.satclip(10))
