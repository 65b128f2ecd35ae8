"""No file names a place that exists on one machine only, or the host of a package registry."""

import re

from common import project_files

# Written so that this file is no finding of its own; "frame/work/" and the like are none either.
PATTERN = re.compile(r"(?<![\w.])/(?:root|work)/|(?:pypi|debian)[.]org|python[h]osted")


def check(root):
    """The complaints about the tree at ROOT."""
    complaints = []
    for path in project_files(root):
        text = path.read_bytes().decode("utf-8", errors="replace")
        for number, line in enumerate(text.split("\n"), 1):
            for match in PATTERN.finditer(line):
                complaints.append(f"{path.relative_to(root)}:{number}: names {match[0]}")
    return complaints
