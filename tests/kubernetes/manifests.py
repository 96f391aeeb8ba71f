"""The manifests of etc/kubernetes as kustomize would render them, for the parts of
kustomize that they use: resources, namespace, and patches that name their target.
Where a kubectl is at hand, manifests_test compares."""
import copy
import pathlib

import yaml

MODES = ("off", "delete", "evict", "label", "repair", "repair-then-delete")


def folder_of(root, mode):
    base = pathlib.Path(root) / "etc/kubernetes"
    return base / "base" if mode == "off" else base / "overlays" / mode


def load_all(path):
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


# keys by which the API merges lists; other lists are replaced (core/v1)
MERGE_KEYS = {"containers": "name", "volumes": "name", "volumeMounts": "mountPath", "env": "name"}


def merge(old, new, key=""):
    if isinstance(old, dict) and isinstance(new, dict):
        merged = dict(old)
        for name, value in new.items():
            merged[name] = merge(old.get(name), value, name)
        return merged
    if isinstance(old, list) and isinstance(new, list) and key in MERGE_KEYS:
        by = MERGE_KEYS[key]
        merged = list(old)
        for item in new:
            at = next((i for i, other in enumerate(merged) if other[by] == item[by]), None)
            if at is None:
                merged.append(item)
            else:
                merged[at] = merge(merged[at], item)
        return merged
    return copy.deepcopy(new)


def identity(document):
    return document["kind"], document["metadata"]["name"]


def render(folder):
    kustomization = load_all(folder / "kustomization.yaml")[0]
    unknown = set(kustomization) - {"apiVersion", "kind", "namespace", "resources", "patches"}
    if unknown:
        raise ValueError(f"{folder}: not rendered here: {unknown}")
    documents = []
    for name in kustomization["resources"]:
        path = folder / name
        documents += render(path) if path.is_dir() else load_all(path)
    for patch in kustomization.get("patches", []):
        change = load_all(folder / patch["path"])[0]
        at = [i for i, one in enumerate(documents) if identity(one) == identity(change)]
        if len(at) != 1:
            raise ValueError(f"{folder / patch['path']}: no target")
        documents[at[0]] = merge(documents[at[0]], change)
    return documents
