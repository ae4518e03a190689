"""Models of scikit-learn, trained on its own data and exported: what many people publish.

Training is float arithmetic, so other machines train other weights: a test that compares machines
hands its files over in the folder that ``PROBATUM_TRAINED`` names.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

MAKERS = {
    "logistic": lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
    "mlp": lambda: MLPClassifier((32,), max_iter=200, tol=1e-3, random_state=0),
    "forest": lambda: RandomForestClassifier(20, max_depth=8, random_state=0),
}


@cache
def train(name: str) -> bytes:
    """Train a model and return its ONNX file; scores are a tensor, not a map."""
    folder = os.environ.get("PROBATUM_TRAINED")
    if folder:
        return (Path(folder) / f"{name}.onnx").read_bytes()
    load = load_digits if name == "mlp" else load_breast_cancer
    features, labels = load(return_X_y=True)
    features = features.astype(np.float32)
    model = MAKERS[name]().fit(features, labels)
    exported = to_onnx(
        model, features[:1], options={"zipmap": False}, target_opset={"": 17, "ai.onnx.ml": 3}
    )
    return bytes(exported.SerializeToString())
