"""The published contract is what the code says."""

import json

import pytest

from avcurate.schema import TABLES, arrow_schema, json_schema
from tests.conftest import REPO


@pytest.mark.parametrize("table", TABLES)
def test_published_schema_is_current(table):
    published = json.loads((REPO / "schemas" / f"{table}.json").read_text())
    assert published == json_schema(table), "run `make schemas` and raise SCHEMA_VERSION if readers are affected"


@pytest.mark.parametrize("table", TABLES)
def test_columns_have_a_meaning_and_one_name(table):
    names = arrow_schema(table).names
    assert len(names) == len(set(names))
    assert all(len(c.about) > 10 for c in TABLES[table])
