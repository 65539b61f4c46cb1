import pytest

from motionmamba.data import write_dataset
from motionmamba.data.sources.procedural import prepare_procedural


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """A few procedural clips and their mirror images, packed."""
    folder = tmp_path_factory.mktemp("data") / "procedural"
    return write_dataset(folder, prepare_procedural(20, seed=0), "procedural")
