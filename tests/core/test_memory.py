"""Allocators that give memory back: set in this process, on any system."""

import pyarrow

from mlops_course.core import memory


def test_give_back_when_called_then_arrow_takes_its_memory_from_the_system():
    pyarrow.set_memory_pool(pyarrow.default_memory_pool())
    memory.give_back()
    assert pyarrow.default_memory_pool().backend_name == "system"


def test_give_back_when_called_again_then_changes_nothing():
    memory.give_back()
    memory.give_back()
    assert pyarrow.default_memory_pool().backend_name == "system"
