"""The smallest useful size of every backbone: overrides that tests of every model share."""

TINY: dict[str, list[str]] = {
    "ecapa": [
        "model.backbone.channels=16",
        "model.backbone.out_channels=24",
        "model.backbone.scale=4",
        "model.backbone.se_bottleneck=8",
        "model.projection.dim=12",
    ],
    "xvector": [
        "model.backbone.channels=16",
        "model.backbone.out_channels=24",
        "model.projection.dim=12",
        "model.projection.hidden_dims=[12]",
    ],
}
