"""Measures how far the networks of `fastconv.nn.models` are from torchvision's, for docs/models.md.

    python bench/torchvision_errors.py NAME   # into docs/models/NAME.json, which bench/models.py wrote

Needs torchvision, which needs a PyTorch of its own version: an environment for itself. What is compared is what
`tests/test_torchvision.py` compares: random weights, both layouts, called and compiled.
"""

import json
import sys
from importlib.metadata import version

from models import FOLDER

sys.path.append(str(FOLDER.parents[1] / "tests"))
from test_torchvision import PRESENT, error_of


def main():
    path = FOLDER / f"{sys.argv[1]}.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    for name in PRESENT:
        error = max(error_of(name, layout) for layout in ("NCHW", "NHWC"))
        told["networks"][name]["error"] = float(f"{error:.2g}")
        print(name, told["networks"][name]["error"], flush=True)
    told["torchvision"] = version("torchvision").partition("+")[0]
    path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
