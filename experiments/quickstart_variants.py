"""The quickstart with other methods and fewer modalities.

earth-embed train experiments/quickstart_variants.py:salt_three
"""

import dataclasses

from earth_embed.config import Melt, Pair, Salt
from earth_embed.config.quickstart import IMAGE, TEXT, TURBIDITY
from earth_embed.config.quickstart import experiment as quickstart

experiments = {
    name: dataclasses.replace(quickstart, name=name, method=method, modalities=tuple(modalities))
    for name, method, *modalities in (
        ("pair_image", Pair(), IMAGE),  # SatCLIP's method, on Blue Marble
        ("pair_text", Pair(), TEXT),
        ("pair_turbidity", Pair(), TURBIDITY),
        ("melt_two", Melt(), IMAGE, TEXT),
        ("salt_two", Salt(), IMAGE, TEXT),
        ("salt_three", Salt(), IMAGE, TEXT, TURBIDITY),
    )
}
