"""The quickstart: MELT on three unpaired modalities of real, global data.

    earth-embed train quickstart

trains it in minutes on two cores. The file is also a model for experiments of your own.
"""

from earth_embed.config import (
    Checkpoints,
    Experiment,
    LocationConfig,
    LogitScale,
    Melt,
    Modality,
    Optimizer,
    Siren,
    SphericalHarmonics,
)

IMAGE = Modality(
    name="image", dataset="blue_marble", field="image", encoder="image", mean=90.0, std=70.0
)
TEXT = Modality(
    name="text", dataset="toponyms", field="text", encoder="text", depth=1, text_bytes=64
)
TURBIDITY = Modality(
    name="turbidity", dataset="linke_turbidity", field="series", encoder="series", mean=3.2, std=1.1
)

# Chosen by ridge and MLP probes on the validation labels, which share no 10° block with the test
# labels, from: L = 10, 15, 20; w0 = 10, 15, 30; one to three hidden layers; temperature 0.07, 0.2;
# learning rate 1e-4, 3e-4; 100 to 600 steps.
experiment = Experiment(
    name="quickstart",
    modalities=(IMAGE, TEXT, TURBIDITY),
    method=Melt(),
    location=LocationConfig(SphericalHarmonics(degree=15), Siren((512, 512)), features=256),
    logit_scale=LogitScale(temperature=0.07),
    optimizer=Optimizer(learning_rate=1e-4),
    checkpoints=Checkpoints(save_every=200, validate_every=100),
    batch_size=480,
    steps=600,
)
