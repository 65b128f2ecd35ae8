"""Fibers under stress: each scene in a process of its own, with stacks kept, soft, and loaded."""

import os
from pathlib import Path

import pytest
from conftest import run_isolated

SCRIPT = Path("isolated/fiber_stress.py")
# Python's own checks of what is allocated, also on top of what a tool prescribes.
MALLOC = os.environ.get("PYTHONMALLOC", "pymalloc").removesuffix("_debug") + "_debug"
SCENES = """
    many many_below_c never_ending finalisers collector collector_interferes weak_references
    dropped_callable signals collected_when_landed collected_beyond_the_limit
""".split()


@pytest.mark.parametrize("how", ["kept", "soft"])
@pytest.mark.parametrize("scene", SCENES)
def test_process_survives(scene, how):
    result = run_isolated(SCRIPT, scene, how, env={"PYTHONMALLOC": MALLOC})
    assert result.stdout == "OK\n"


@pytest.mark.parametrize("how", ["kept", "soft", "loaded"])
@pytest.mark.parametrize("scene", ["recursion", "lowered_limit"])
def test_deep_recursion_raises(scene, how):
    assert run_isolated(SCRIPT, scene, how).stdout == "OK\n"
