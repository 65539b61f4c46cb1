import pytest

from motionmamba.data import write_dataset
from motionmamba.data.procedural import procedural_samples


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """A few procedural clips, packed."""
    folder = tmp_path_factory.mktemp("data") / "procedural"
    options = dict(name="procedural", source="rules", licence="CC0", statement="templated")
    return write_dataset(folder, procedural_samples(30, seed=0), **options)
