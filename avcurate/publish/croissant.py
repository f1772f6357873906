"""Croissant metadata (MLCommons, version 1.0) of a folder of Parquet shards: a JSON-LD description that tools read."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

CONFORMS = "http://mlcommons.org/croissant/1.0"
FILE = "croissant.json"
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "equivalentProperty": "cr:equivalentProperty",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def croissant(
    name: str, about: str, files: dict[str, str], schema: pa.Schema, licence: str, made: str, version: str
) -> dict[str, Any]:
    """The description.

    Args:
        name: of the dataset; about: a sentence on it.
        files: SHA-256 of each Parquet file, by its path in the folder.
        schema: of their rows; columns that are neither values nor lists of values are left out, since Croissant has no
            type for them.
        licence: an SPDX name or a link; empty where nobody stated it.
        made: date, ISO 8601; version: of the data, semantic.
    """
    shards = [
        {
            "@type": "cr:FileObject",
            "@id": path,
            "name": path,
            "contentUrl": path,
            "encodingFormat": "application/x-parquet",
            "sha256": digest,
        }
        for path, digest in sorted(files.items())
    ]
    shard_set = {
        "@type": "cr:FileSet",
        "@id": "shards",
        "name": "shards",
        "encodingFormat": "application/x-parquet",
        "includes": "data/*.parquet",
    }
    fields = [_field(f) for f in schema if _type(f.type)]
    record_set = {"@type": "cr:RecordSet", "@id": "questions", "name": "questions", "field": fields}
    described = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": name,
        "description": about,
        "conformsTo": CONFORMS,
        "datePublished": made,
        "version": version,
        "distribution": [*shards, shard_set],
        "recordSet": [record_set],
    }
    return described | ({"license": licence} if licence else {})


def _field(column: pa.Field) -> dict[str, Any]:
    about = (column.metadata or {}).get(b"about", b"").decode("utf-8")
    field: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"questions/{column.name}",
        "name": column.name,
        "description": about or column.name,
        "dataType": _type(column.type),
        "source": {"fileSet": {"@id": "shards"}, "extract": {"column": column.name}},
    }
    return field | ({"repeated": True} if pa.types.is_list(column.type) else {})


def _type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        kind = kind.value_type
    if pa.types.is_string(kind):
        return "sc:Text"
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(kind) else ""
