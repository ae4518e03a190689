"""What tests with real processes share: the real model's package, made once."""

from __future__ import annotations

import pytest

from probatum.ops.demo.magika import build_magika


@pytest.fixture(scope="session")
def magika_package(magika_folder, tmp_path_factory):
    return build_magika(magika_folder, tmp_path_factory.mktemp("packages") / "magika").folder
