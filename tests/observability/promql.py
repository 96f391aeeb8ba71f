"""What a PromQL expression names: selectors with their matchers, and the labels it
groups and joins by. Enough of the language for the project's own queries; promtool
checks their syntax."""
import re
from dataclasses import dataclass, field

TOKEN = re.compile(
    r"""\s+|(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<number>[0-9][0-9a-zA-Z.]*)"""
    r"""|(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)|(?P<op>=~|!~|!=|==|>=|<=|[-+*/%^(){}\[\],=<>@:])""")
LABEL_LISTS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
WORDS = {"and", "or", "unless", "bool", "offset"}


@dataclass
class Selector:
    metric: str
    matchers: list = field(default_factory=list)  # (label, operator, value)


@dataclass
class Names:
    selectors: list = field(default_factory=list)
    labels: set = field(default_factory=set)
    by: list = field(default_factory=list)  # the labels of each "by"


def tokens(text):
    out, at = [], 0
    while at < len(text):
        match = TOKEN.match(text, at)
        if not match:
            raise ValueError(f"not understood: {text[at:at + 20]!r} of {text!r}")
        if match.lastgroup:
            out.append((match.lastgroup, match[0]))
        at = match.end()
    return out + [("end", "")]


def names(text):
    found, items, at = Names(), tokens(text), 0
    while items[at][0] != "end":
        kind, value = items[at]
        at += 1
        if kind != "name" or value in WORDS:
            continue
        if value in LABEL_LISTS:
            if items[at][1] != "(":
                continue
            listed = []
            while items[at][1] != ")":
                if items[at][0] == "name":
                    listed.append(items[at][1])
                at += 1
            found.labels.update(listed)
            if value == "by":
                found.by.append(listed)
        elif items[at][1] == "(" or items[at][1] in LABEL_LISTS:
            continue  # a function or an aggregation
        else:
            selector = Selector(value)
            if items[at][1] == "{":
                at += 1
                while items[at][1] != "}":
                    if items[at][1] == ",":
                        at += 1
                        continue
                    label, operator, string = items[at][1], items[at + 1][1], items[at + 2][1]
                    selector.matchers.append((label, operator, string[1:-1]))
                    at += 3
            found.selectors.append(selector)
    return found


def exported(text):
    """Of the text exposition format: {sample name: {label: {values}}}."""
    series = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        match = re.match(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? \S+$", line)
        labels = series.setdefault(match[1], {})
        for label, value in re.findall(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"', match[2] or ""):
            labels.setdefault(label, set()).add(value)
    return series
