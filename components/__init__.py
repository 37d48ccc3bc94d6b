"""KFP components: one file each, one folder per CRISP-ML(Q) stage.

A component maps artifact paths and parameters to one call of the library. The images' tag is the package's
version; their registry is chosen when a pipeline is compiled (`SECMLOPS_REGISTRY`).
"""

import os
from typing import Final

from secmlops import __version__

REGISTRY: Final = os.environ.get("SECMLOPS_REGISTRY", "ghcr.io/secmlops")
IMAGE: Final = f"{REGISTRY}/secmlops-components:{__version__}"
SERVING_IMAGE: Final = f"{REGISTRY}/secmlops-serving:{__version__}"
