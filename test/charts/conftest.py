"""The chart as Helm renders it, for the tests in this folder."""

import pathlib

import helm
import pytest
import yaml

VALUES = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
          for path in sorted((pathlib.Path(__file__).parent / "values").glob("*.yaml"))}


@pytest.fixture(scope="session")
def helm_program():
    return helm.build()


@pytest.fixture(scope="session")
def renderer(helm_program, tmp_path_factory):
    """Helm without a cluster."""
    return helm.Helm(helm_program, tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session")
def rendered(renderer):
    """The objects of each file in values/, by its name."""
    return {name: renderer.render(values) for name, values in VALUES.items()}
