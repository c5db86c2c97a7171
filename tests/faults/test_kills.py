"""Some of what `make faults` does at length: what is killed and begun again ends as what nobody killed."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def kills(*arguments, script="kills.py"):
    command = [sys.executable, str(Path(__file__).with_name(script)), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("variant", ["plain", "averaged"])
def test_a_training_that_is_killed_ends_as_one_that_is_not(variant):
    ran = kills("--only", variant, "--first", "2", "--second", "3", "--seed", "5")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "5 trainings, 8 kills, 0 ended otherwise" in ran.stdout


@pytest.mark.nightly
def test_in_every_way_of_validating_and_stopping():
    ran = kills("--first", "16", "--second", "32")
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_folder_of_maps_that_is_killed_ends_as_one_that_is_not():
    ran = kills("--only", "predict", "--kills", "3", "--pairs", "1", script="commands.py")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "3 kills of commands, 0 ended otherwise" in ran.stdout


@pytest.mark.nightly
def test_every_command_that_writes():
    ran = kills("--kills", "6", "--pairs", "1", script="commands.py")
    assert ran.returncode == 0, ran.stdout + ran.stderr
