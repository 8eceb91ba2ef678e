"""A donor's whole way on the real Kafka: order, worker, ledger, link, page in a real Chromium, receipt, both checks."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import expect
from typer.testing import CliRunner

from schemas.donation import decode_donation
from streams.cli import app
from streams.domain.load import LoadPlan
from streams.engine.reader import open_reader
from streams.engine.topic_admin import create_topics
from streams.ledger_service.follow import run_ledger
from streams.ledger_service.keys import log_origin, make_keys
from streams.serve.server import serving
from streams.settings import Settings, child_environment
from tests.kafka.workers import audited, drawn_seed, load, running_workers
from tests.serve.chromium import open_browser

WAIT_MS = 90_000


@pytest.fixture
async def deployment(settings: Settings, tmp_path: Path) -> Settings:
    folders = {name: str(tmp_path / name) for name in ("ledger_dir", "ledger_keys", "ledger_index")}
    links = {"serve_link_keys": str(tmp_path / "link-keys.txt"), "serve_port": 0}
    settings = settings.model_copy(update={**folders, **links, "ledger_name": "ledger.test"})
    origins = [log_origin("ledger.test", number) for number in range(settings.partitions)]
    keys = make_keys(tmp_path / "ledger_keys", origins)
    (tmp_path / "keys.txt").write_text("".join(f"{key}\n" for key in keys))
    await create_topics(settings)
    return settings


def run(settings: Settings, *words) -> str:
    done = CliRunner().invoke(app, ["ledger", *map(str, words)], env=child_environment(settings))
    assert done.exit_code == 0, (done.exception, done.output)
    return done.output


async def first_donation(settings: Settings):
    async with open_reader(settings) as reader:
        for partition in range(settings.partitions):
            async for batch in reader.read(settings.topics.donations, partition):
                return decode_donation(batch[0].value)
    raise AssertionError("there is no donation")


async def test_a_donor_goes_from_the_link_to_a_receipt_that_both_verifiers_take(deployment, tmp_path):
    plan = LoadPlan(500, seed=drawn_seed())
    with running_workers(deployment) as workers:
        workers.start()
        await load(deployment, plan.orders, plan.seed)
        await audited(deployment, workers)
    async with asyncio.timeout(120):
        await run_ledger(deployment, asyncio.Event(), until_end=True)
    donation = await first_donation(deployment)
    run(deployment, "index")
    (tmp_path / "link-keys.txt").write_text(run(deployment, "link-keygen"))
    # The server has neither keys nor the donors' secret.
    served = deployment.model_copy(update={"ledger_keys": str(tmp_path / "none")})
    async with serving(served) as (address, _), open_browser() as browser:
        link = run(deployment, "link", donation.donation_id, "--buyer", donation.buyer_id, "--site", address).strip()
        page = await browser.new_page(locale="en-GB")
        page.set_default_timeout(WAIT_MS)
        await page.goto(link)
        yuan = f"¥{donation.fen // 100:,}.{donation.fen % 100:02}"
        await expect(page.locator(".hero-amount")).to_have_text(yuan, timeout=WAIT_MS)
        async with page.expect_download() as download:
            await page.get_by_role("link", name="Download the receipt").click()
        file = tmp_path / "mine.tlog-proof"
        await (await download.value).save_as(file)
        said = run(deployment, "verify", file, "--key", tmp_path / "keys.txt", "--buyer", donation.buyer_id)
        assert f"donation {donation.donation_id}" in said
        await page.get_by_role("link", name="Check a receipt").click()
        await page.set_input_files("#file", file)
        await page.fill("#buyer", donation.buyer_id)
        await page.get_by_role("button", name="Check the receipt").click()
        verdict = page.locator(".verdict")
        await expect(verdict).to_have_text("The receipt is right, and the donation is this buyer's.", timeout=WAIT_MS)
        await page.goto(link[:-1])
        await expect(page.locator(".notice")).to_contain_text("This link doesn't work", timeout=WAIT_MS)
