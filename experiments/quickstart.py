"""The main job: MELT on three unpaired modalities of real, global data, in minutes on two cores.

earth-embed train experiments/quickstart.py
"""

from earth_embed.config import (
    Checkpoints,
    Experiment,
    LocationConfig,
    LogitScale,
    Melt,
    Modality,
    Optimizer,
)

IMAGE = Modality(
    name="image", dataset="blue_marble", field="image", encoder="image", mean=90.0, std=70.0
)
TEXT = Modality(name="text", dataset="toponyms", field="text", encoder="text")
TURBIDITY = Modality(
    name="turbidity", dataset="linke_turbidity", field="series", encoder="series", mean=3.2, std=1.1
)

experiment = Experiment(
    name="quickstart",
    modalities=(IMAGE, TEXT, TURBIDITY),
    method=Melt(),
    location=LocationConfig(degree=10),
    logit_scale=LogitScale(temperature=0.07),
    optimizer=Optimizer(learning_rate=1e-4),
    checkpoints=Checkpoints(save_every=100, validate_every=50),
    batch_size=768,
    steps=400,
)
