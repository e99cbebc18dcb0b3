"""A night of jobs against a job server in memory: order, going on, races, other nights, lost nodes."""

from __future__ import annotations

import pytest

from recsae.errors import BadInput
from recsae.submission.errors import NightStopped
from recsae.submission.night import MAX_RESUBMISSIONS
from tests.submission.job_server import FakeServer, Job, NightRun, failed, lost, stage_jobs, succeeded

THREE = ("ingest", "sae", "labels")


def ids(server: FakeServer) -> list[str]:
    return [request["submission_id"].removeprefix("recsae-demo-2026-11-25-") for request in server.requests]


def test_stages_are_submitted_in_order_and_their_logs_shown() -> None:
    server = FakeServer()
    run = NightRun(server, stage_jobs(*THREE))
    run.night.run()
    assert ids(server) == list(THREE)
    assert run.log == "".join(f"log of recsae-demo-2026-11-25-{stage}\n" for stage in THREE)
    assert {job.status for job in server.jobs.values()} == {"SUCCEEDED"}


def test_the_first_failure_stops_the_night_and_names_stage_and_job() -> None:
    server = FakeServer(ends={"sae": [failed]})
    with pytest.raises(
        NightStopped, match=r"^sae: job recsae-demo-2026-11-25-sae failed with exit status 2, its log is above; "
    ):
        NightRun(server, stage_jobs(*THREE)).night.run()
    assert ids(server) == ["ingest", "sae"]


def test_called_again_it_skips_what_succeeded_and_submits_what_failed_under_a_new_id() -> None:
    server = FakeServer(ends={"sae": [failed]})
    for _ in range(2):
        with pytest.raises(NightStopped):
            NightRun(server, stage_jobs(*THREE)).night.run()
        server.ends["sae"] = [failed]
    server.ends.clear()
    NightRun(server, stage_jobs(*THREE)).night.run()
    assert ids(server) == ["ingest", "sae", "sae-2", "sae-3", "labels"]
    NightRun(server, stage_jobs(*THREE)).night.run()
    assert len(server.requests) == 5, "a night that is done asks for nothing"


def test_a_stopped_job_is_said_to_be_stopped_and_submitted_again() -> None:
    def stopped(job: Job) -> None:
        job.status = "STOPPED"

    server = FakeServer(ends={"ingest": [stopped]})
    with pytest.raises(NightStopped, match="was stopped"):
        NightRun(server, stage_jobs("ingest")).night.run()
    NightRun(server, stage_jobs("ingest")).night.run()
    assert ids(server) == ["ingest", "ingest-2"]


@pytest.mark.parametrize("status", ["PENDING", "RUNNING"])
def test_a_job_under_way_is_waited_for_and_not_submitted_again(status: str) -> None:
    (job,) = stage_jobs("ingest")
    name = job.submission_id(1)
    server = FakeServer(jobs={name: Job(name, status, job.metadata(), log="half\n")})
    run = NightRun(server, [job])
    run.night.run()
    assert server.requests == [] and run.log == "half\n"
    assert any(name in message and status.lower() in message for message in run.messages)


def test_of_two_submitters_the_later_one_attaches() -> None:
    jobs = stage_jobs("ingest", "sae")

    def other(server: FakeServer) -> None:
        server.submit_job(**jobs[0].request(1))

    server = FakeServer(before_submit=other)
    NightRun(server, jobs).night.run()
    assert ids(server) == ["ingest", "sae"]


def test_a_submission_whose_answer_was_lost_counts_once() -> None:
    jobs = stage_jobs("ingest")

    def took_it_and_broke(server: FakeServer) -> None:
        server.submit_job(**jobs[0].request(1))
        raise ConnectionError("reset")

    server = FakeServer(before_submit=took_it_and_broke)
    NightRun(server, jobs).night.run()
    assert ids(server) == ["ingest"]


def test_success_under_another_config_is_not_this_night_s() -> None:
    server = FakeServer()
    NightRun(server, stage_jobs("ingest")).night.run()
    NightRun(server, stage_jobs("ingest", config_hash="config-2")).night.run()
    NightRun(server, stage_jobs("ingest")).night.run()
    assert ids(server) == ["ingest", "ingest-2"]


def test_the_same_stage_under_way_with_another_config_is_refused() -> None:
    (job,) = stage_jobs("ingest", config_hash="config-2")
    name = job.submission_id(1)
    server = FakeServer(jobs={name: Job(name, "RUNNING", job.metadata())})
    with pytest.raises(BadInput, match=f"{name} runs with another config.*ray job stop"):
        NightRun(server, stage_jobs("ingest")).night.run()


@pytest.mark.parametrize("status", ["PENDING", "RUNNING"])
def test_another_night_of_the_run_under_way_is_refused(status: str) -> None:
    (job,) = stage_jobs("labels", night="2026-11-24")
    server = FakeServer(jobs={"x": Job(job.submission_id(1), status, job.metadata())})
    with pytest.raises(BadInput, match="recsae-demo-2026-11-24-labels of night 2026-11-24 of demo is"):
        NightRun(server, stage_jobs(*THREE)).night.run()
    assert server.requests == []


def test_the_single_driver_under_way_is_refused_too() -> None:
    (job,) = stage_jobs("nightly")
    server = FakeServer(jobs={"x": Job(job.submission_id(1), "RUNNING", job.metadata())})
    with pytest.raises(BadInput, match="2026-11-25-nightly"):
        NightRun(server, stage_jobs(*THREE)).night.run()


def test_jobs_of_other_runs_ended_nights_and_strangers_do_not_matter() -> None:
    (yesterday,) = stage_jobs("labels", night="2026-11-24")
    server = FakeServer(
        jobs={
            "a": Job(yesterday.submission_id(1), "FAILED", yesterday.metadata()),
            "b": Job("recsae-shop-2026-11-25-sae", "RUNNING", {"run": "shop", "night": "2026-11-25", "stage": "sae"}),
            "c": Job(None, "RUNNING", None),
            "d": Job("raysubmit_x", "RUNNING", {}),
        }
    )
    NightRun(server, stage_jobs("ingest")).night.run()
    assert ids(server) == ["ingest"]


def test_a_lost_node_is_made_good_a_few_times() -> None:
    server = FakeServer(ends={"sae": [lost] * MAX_RESUBMISSIONS})
    run = NightRun(server, stage_jobs(*THREE))
    run.night.run()
    assert ids(server) == ["ingest", "sae", *(f"sae-{number}" for number in range(2, MAX_RESUBMISSIONS + 2)), "labels"]
    server = FakeServer(ends={"sae": [lost] * (MAX_RESUBMISSIONS + 1)})
    with pytest.raises(NightStopped, match=r"^sae: job recsae-demo-2026-11-25-sae-4 lost its node"):
        NightRun(server, stage_jobs(*THREE)).night.run()


def test_a_driver_that_failed_by_itself_is_not_taken_for_a_lost_node() -> None:
    def killed(job: Job) -> None:
        failed(job)
        job.driver_exit_code = -9

    server = FakeServer(ends={"sae": [killed]})
    with pytest.raises(NightStopped, match="exit status -9"):
        NightRun(server, stage_jobs("sae")).night.run()
    assert ids(server) == ["sae"]


def test_a_head_that_forgot_a_job_is_asked_for_it_again() -> None:
    def forget(job: Job) -> None:
        del server.jobs[str(job.submission_id)]

    server = FakeServer(ends={"ingest": [forget, succeeded]})
    NightRun(server, stage_jobs("ingest")).night.run()
    assert ids(server) == ["ingest", "ingest"]


def test_a_refused_request_ends_in_one_sentence() -> None:
    server = FakeServer(breaks=[None, RuntimeError("Request failed with status code 400: x\nValueError: bad label.")])
    with pytest.raises(BadInput, match=r"^submit: Ray rejects the job of ingest \(ValueError: bad label\)$"):
        NightRun(server, stage_jobs("ingest")).night.run()
