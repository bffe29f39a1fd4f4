"""SatCLIP for the 500 epochs of its own publication, else as `satclip.py`."""

from common import IMAGE, paper

from earth_embed.config import Pair
from earth_embed.encoders import published

experiment = paper(
    "satclip_500", Pair("symmetric"), IMAGE, epochs=500, location=published.satclip(10)
)
