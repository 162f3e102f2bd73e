"""Beam's runners, as far as they can be had without a cluster."""

from __future__ import annotations

import pytest
from apache_beam.options.pipeline_options import DirectOptions, GoogleCloudOptions, PortableOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner

from bulk.handler import PartHandler
from bulk.output import output_at
from bulk.pipeline import build
from bulk.runner import cores_for, make_pipeline, meant_by, read_options
from bulk.scorer import Identity
from bulk.served_model import ServedModel
from scenery.errors import ConfigurationError, ScoringError

GOOGLE = (
    "--project=mine",
    "--region=europe-west1",
    "--temp_location=gs://mine/tmp",
    "--sdk_container_image=mine/score:1",
)


def test_a_dataflow_job_is_complete_before_anybody_is_asked():
    """The steps and Beam's own options become the job that a runner is sent, the handler and the output in it."""
    options = read_options("DataflowRunner", GOOGLE, verbose=False, patience_seconds=60)
    google = options.view_as(GoogleCloudOptions)
    assert (google.project, google.region, google.temp_location) == ("mine", "europe-west1", "gs://mine/tmp")
    pipeline = make_pipeline("DataflowRunner", options)
    handler = PartHandler(ServedModel("models:8500", "scenery", 2), Identity(2, "0f" * 32), 8, 60.0)
    build(pipeline, "gs://mine/scores/_plan-01234567.jsonl", handler, output_at("gs://mine/scores"), 60.0)
    job = pipeline.to_runner_api()
    names = {transform.unique_name for transform in job.components.transforms.values()}
    assert {"Plan", "Lines", "Spread", "Part", "Score", "Write"} <= names
    assert cores_for("DataflowRunner", options) == 1


def test_options_of_job_servers_are_passed_on():
    """A portable runner is told its endpoint and environment, and what only its job server knows."""
    arguments = ["--job_endpoint=jobs:8099", "--environment_type=DOCKER", "--of_its_own=64"]
    options = read_options("FlinkRunner", arguments, verbose=False, patience_seconds=60)
    portable = options.view_as(PortableOptions)
    assert (portable.job_endpoint, portable.environment_type) == ("jobs:8099", "DOCKER")
    assert options.get_all_options(retain_unknown_options=True)["of_its_own"] == "64"
    with pytest.raises(ConfigurationError, match="Beam has no option --of_its_own"):
        read_options("DirectRunner", arguments, verbose=False, patience_seconds=60)


def test_the_local_runner_downloads_nothing():
    """It is the one in Beam's package, never Prism; several workers are processes that share the cores."""
    options = read_options("DirectRunner", ["--direct_num_workers=2"], verbose=False, patience_seconds=60)
    assert isinstance(make_pipeline("DirectRunner", options).runner, FnApiRunner)
    assert options.view_as(DirectOptions).direct_running_mode == "multi_processing"
    assert cores_for("DirectRunner", options) == max(
        1, cores_for("DirectRunner", read_options("DirectRunner", [], False, 60)) // 2
    )


@pytest.mark.parametrize(
    "error",
    [
        ScoringError("It is gone. Mend it. [while running 'Score/BeamML']"),
        RuntimeError(
            "Pipeline failed: Traceback (most recent call last):\n"
            "scenery.errors.ScoringError: It is gone. Mend it. [while running 'Score/BeamML']\n"
        ),
    ],
)
def test_what_a_worker_raised_on_purpose_is_told_as_it_was_meant(error):
    """Whether a runner hands over the error or its traceback, people read one sentence with the cure."""
    meant = meant_by(error)
    assert isinstance(meant, ScoringError)
    assert str(meant) == "It is gone. Mend it."
    assert meant_by(ValueError("a defect")) is None
