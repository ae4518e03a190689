"""How the models of this folder were made: scikit-learn 1.9.1, skl2onnx 1.20.0, on its own data.

Kept in the repository because they are small and neither package is needed to run the tests.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).parent


def main() -> None:
    """Train the three models and write them beside this page."""
    cells, kind = load_breast_cancer(return_X_y=True)
    digits, digit = load_digits(return_X_y=True)
    logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    models = {
        "logistic": (logistic, cells, kind),
        "mlp": (MLPClassifier((32,), max_iter=100), digits, digit),
        "forest": (RandomForestClassifier(20, max_depth=8, random_state=0), cells, kind),
    }
    for name, (model, given, labels) in models.items():
        features = given.astype(np.float32)
        model.fit(features, labels)
        exported = to_onnx(
            model,
            features[:1],
            options={"zipmap": False},
            target_opset={"": 17, "ai.onnx.ml": 3},
        )
        (HERE / f"{name}.onnx").write_bytes(exported.SerializeToString())


if __name__ == "__main__":
    main()
