"""Checks documents against the API's own types, as python3-kubernetes has them:
unknown fields, wrong types, missing required fields."""
import re

from kubernetes.client import models

GROUPS = {
    "v1": "V1",
    "apps/v1": "V1",
    "rbac.authorization.k8s.io/v1": "V1",
}
SCALARS = {"str": str, "int": int, "bool": bool, "float": (int, float)}


def check(document):
    group = document.get("apiVersion")
    if group not in GROUPS:
        return [f"apiVersion {group!r} is not known here"]
    return check_type(document, GROUPS[group] + document["kind"], document["kind"])


def check_type(value, name, where):
    if name == "object":
        return []
    if name in SCALARS:
        fits = isinstance(value, SCALARS[name]) and not (name != "bool" and isinstance(value, bool))
        return [] if fits else [f"{where}: {value!r} is no {name}"]
    if match := re.fullmatch(r"list\[(.*)\]", name):
        if not isinstance(value, list):
            return [f"{where}: {value!r} is no list"]
        return [p for i, item in enumerate(value) for p in check_type(item, match[1], f"{where}[{i}]")]
    if match := re.fullmatch(r"dict\(str, (.*)\)", name):
        if not isinstance(value, dict):
            return [f"{where}: {value!r} is no mapping"]
        return [p for key, item in value.items() for p in check_type(item, match[1], f"{where}.{key}")]
    model = getattr(models, name)
    if not isinstance(value, dict):
        return [f"{where}: {value!r} is no {name}"]
    fields = {json: attribute for attribute, json in model.attribute_map.items()}
    problems = []
    given = {}
    for key, item in value.items():
        if key not in fields:
            problems.append(f"{where}: there is no field {key!r}")
            continue
        given[fields[key]] = item
        problems += check_type(item, model.openapi_types[fields[key]], f"{where}.{key}")
    if not problems:
        try:
            model(**given)  # what is required
        except ValueError as error:
            problems.append(f"{where}: {error}")
    return problems
