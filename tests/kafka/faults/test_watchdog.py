"""A worker that gets no further ends by itself with a clear line, so that its supervisor starts it again."""

import pytest

from streams.settings import Settings
from tests.kafka.faults.proxy import Api, KafkaProxy, never
from tests.kafka.workers import audited, load, running_workers

STALL_TIMEOUT_S = 10


@pytest.mark.parametrize("api", [Api.FETCH, Api.PRODUCE, Api.END_TXN], ids=lambda api: api.name)
async def test_a_worker_with_lag_whose_answers_never_come_ends_with_a_clear_line_and_the_next_goes_on(
    deployment: Settings, proxied: Settings, proxy: KafkaProxy, api: Api
) -> None:
    with running_workers(proxied.model_copy(update={"stall_timeout_s": STALL_TIMEOUT_S})) as workers:
        worker = workers.start()
        worker.wait_for("partition ready", times=8)
        proxy.set(api, never)
        await load(deployment, 3_000, seed=100 + api)
        assert worker.process.wait(STALL_TIMEOUT_S + 40) == 3, worker.text()
        last = worker.text().splitlines()[-1]
        assert last.startswith(f"everycent: {deployment.topic_prefix}"), worker.text()
        assert f"has work and made no progress for {STALL_TIMEOUT_S} s" in last
        assert "Traceback" not in worker.text()
        proxy.clear()
        proxy.cut_all()
        workers.start()
        await audited(deployment, workers)
