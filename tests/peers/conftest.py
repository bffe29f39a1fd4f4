"""Tests beside PyTorch and the published packages, which the extra `benchmark` and `geoclip` bring.

Where one is missing its tests are not collected.
"""

import importlib
import sys
import types
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

NEEDS = {
    "test_benchmarks.py": ("torch", "sympy"),
    "test_frozen_peers.py": ("torch", "timm", "transformers"),
    "test_geoclip.py": ("torch", "geoclip"),
    "test_satclip.py": ("torch", "sympy"),
    "test_step.py": ("torch", "sympy"),
    "test_torch_files.py": ("torch", "safetensors"),
}
collect_ignore = [file for file, packages in NEEDS.items() if None in map(find_spec, packages)]

if None not in map(find_spec, NEEDS["test_frozen_peers.py"]):
    import torch

    try:
        import torchvision  # noqa: F401 (timm imports it)
    except RuntimeError:
        # Its operators are built for another build of torch: it still misses their declarations.
        DECLARED = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            DECLARED.define(
                f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )

PEERS = Path(__file__).parents[2] / "experiments" / "benchmarks" / "peers"


@pytest.fixture(scope="session")
def satclip_peer():
    """SatCLIP's encoder in PyTorch, experiments/benchmarks/peers/satclip.py."""
    spec = spec_from_file_location("satclip_peer", PEERS / "satclip.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def geoclip_peer():
    """The package's own location encoder, without its image side, which needs torchvision."""
    root = find_spec("geoclip").submodule_search_locations[0]
    for name in ("geoclip", "geoclip.model"):
        package = types.ModuleType(name)
        package.__path__ = [str(Path(root).parent / name.replace(".", "/"))]
        sys.modules[name] = package
    return importlib.import_module("geoclip.model.location_encoder")
