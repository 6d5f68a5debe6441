"""What `bench.serve` compares the site with: the same model in a plain service of one file, written straightforwardly.

    PLAIN_PACKAGE=DIR python -m bench.plain_service PORT

FastAPI and torch in eager mode, one process, a blocking forward pass per request; no login, no history.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image

from training.engine.networks.stored import load_network
from training.engine.package import verify_package

package = verify_package(Path(os.environ["PLAIN_PACKAGE"]))
network = load_network(package)
app = FastAPI()


@app.post("/predict")
async def predict(file: UploadFile) -> dict[str, Any]:
    """Classify a picture."""
    image = Image.open(io.BytesIO(await file.read())).convert("RGB").resize((32, 32))
    images = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        probabilities = torch.softmax(network(images), dim=1)[0].tolist()
    class_id = int(np.argmax(probabilities))
    return {
        "class_id": class_id,
        "class_name": package.class_keys[class_id],
        "confidence": probabilities[class_id],
        "probabilities": dict(zip(package.class_keys, probabilities, strict=True)),
    }


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False)
