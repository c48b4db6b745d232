"""Wallets and transfers: money is neither made nor lost, whoever moves it at the same time."""

import asyncio
from uuid import uuid4

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from marketplace.v1 import transfer_pb2, user_pb2, wallet_pb2

from marketplace_service.api.wallet import MAX_BALANCE
from tests.marketplace.client import MAX_DEPOSIT, Market, attempt, key, refused
from tests.status import Refusal

NOBODY = "users/987654321/wallet"


async def test_a_new_user_has_an_empty_wallet(market: Market) -> None:
    """A wallet is there with its user, with nothing in it, and is as old as the user."""
    user = await market.user()
    wallet = await market.wallets.GetWallet(wallet_pb2.GetWalletRequest(name=f"{user.name}/wallet"))
    assert wallet == wallet_pb2.Wallet(
        name=f"{user.name}/wallet", create_time=user.create_time, update_time=user.create_time, etag='"0"'
    )


async def test_nobody_has_no_wallet(market: Market) -> None:
    """The wallet of a user who does not exist is NOT_FOUND."""
    told = await refused(market.wallets.GetWallet(wallet_pb2.GetWalletRequest(name=NOBODY)))
    assert told.code is grpc.StatusCode.NOT_FOUND
    assert told.info.metadata["resource"] == NOBODY


async def test_deposits_add_up(market: Market) -> None:
    """Each deposit answers with the wallet as it is then, and Get reads the same."""
    name = await market.wallet()
    assert (await market.deposit(name, 250)).balance_cents == 250
    second = await market.deposit(name, MAX_DEPOSIT)
    assert second.balance_cents == MAX_DEPOSIT + 250
    assert second == await market.wallets.GetWallet(wallet_pb2.GetWalletRequest(name=name))


async def test_a_wallet_stays_as_old_as_its_user(market: Market) -> None:
    """The first deposit makes a row, and the wallet's create_time is still the user's; update_time moves on."""
    user = await market.user()
    name = f"{user.name}/wallet"
    first = await market.deposit(name, 1)
    second = await market.deposit(name, 1)
    assert first.create_time == second.create_time == user.create_time
    times = [each.update_time.ToNanoseconds() for each in (user, first, second)]
    assert times == sorted(set(times))


async def test_a_wallet_first_used_by_a_transfer_is_as_old_as_its_user(market: Market) -> None:
    """A transfer to a fresh wallet makes its row, and leaves its create_time the user's."""
    user = await market.user()
    await market.transfer(await market.wallet(5), f"{user.name}/wallet", 5)
    wallet = await market.wallets.GetWallet(wallet_pb2.GetWalletRequest(name=f"{user.name}/wallet"))
    assert (wallet.balance_cents, wallet.create_time) == (5, user.create_time)


async def test_a_deposit_to_nobody_is_not_found(market: Market) -> None:
    """A deposit to a user who does not exist is NOT_FOUND, and makes no wallet."""
    told = await refused(market.deposit(NOBODY, 1))
    assert told.code is grpc.StatusCode.NOT_FOUND
    assert told.info.reason == "RESOURCE_NOT_FOUND"
    assert await market.sql("SELECT 1 FROM wallets WHERE user_id = :id", id=key(NOBODY)) == []


@pytest.mark.parametrize("cents", [0, -1, -(1 << 63), MAX_DEPOSIT + 1, (1 << 63) - 1])
async def test_a_deposit_of_no_amount_is_refused(market: Market, cents: int) -> None:
    """A deposit of nothing, of less and of too much is INVALID_ARGUMENT on `amount_cents`, and changes nothing."""
    name = await market.wallet(7)
    told = await refused(market.deposit(name, cents))
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(told.fields) == ["amount_cents"]
    assert await market.balance(name) == 7


async def test_a_transfer_moves_exactly_its_amount(market: Market) -> None:
    """What leaves one wallet comes to the other, and the transfer is kept as it was answered."""
    source, destination = await market.wallet(1000), await market.wallet(1)
    transfer = await market.transfer(source, destination, 999)
    assert (transfer.source, transfer.destination, transfer.amount_cents) == (source, destination, 999)
    assert (await market.balance(source), await market.balance(destination)) == (1, 1000)
    assert transfer == await market.wallets.GetTransfer(transfer_pb2.GetTransferRequest(name=transfer.name))


async def test_all_of_a_wallet_can_be_moved_and_no_more(market: Market) -> None:
    """A transfer of the whole balance empties the wallet; of a cent more it is INSUFFICIENT_FUNDS."""
    source, destination = await market.wallet(40), await market.wallet(2)
    told = await refused(market.transfer(source, destination, 41))
    assert told.code is grpc.StatusCode.FAILED_PRECONDITION
    assert told.info.reason == "INSUFFICIENT_FUNDS"
    assert told.info.metadata["resource"] == source
    assert (await market.balance(source), await market.balance(destination)) == (40, 2)
    assert not await _transfers(market, source)
    await market.transfer(source, destination, 40)
    assert (await market.balance(source), await market.balance(destination)) == (0, 42)


@pytest.mark.parametrize("used", [False, True])
async def test_an_empty_wallet_has_insufficient_funds(market: Market, used: bool) -> None:
    """A wallet without money, used before or never, is INSUFFICIENT_FUNDS, and the other one is not touched."""
    source, destination = await market.wallet(1 if used else 0), await market.wallet()
    told = await refused(market.transfer(source, destination, 2))
    assert (told.code, told.info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "INSUFFICIENT_FUNDS")
    rows = await market.sql("SELECT 1 FROM wallets WHERE user_id = :id", id=key(destination))
    assert rows == [], "the destination got no row either"


async def test_a_wallet_cannot_pay_itself(market: Market) -> None:
    """A transfer from a wallet to itself is INVALID_ARGUMENT, and changes nothing."""
    name = await market.wallet(10)
    told = await refused(market.transfer(name, name, 5))
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "SAME_WALLET" in told.info.reason
    assert await market.balance(name) == 10
    assert not await _transfers(market, name)


@pytest.mark.parametrize("end", ["source", "destination"])
@pytest.mark.parametrize("name", [NOBODY, "users/nobody/wallet", f"users/{1 << 70}/wallet"])
async def test_an_unknown_end_of_a_transfer_is_named(market: Market, end: str, name: str) -> None:
    """A source or a destination of a user who does not exist is INVALID_ARGUMENT by its field."""
    known = await market.wallet(10)
    ends = {"source": known, "destination": known} | {end: name}
    told = await refused(market.transfer(**ends, cents=5))
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT
    assert told.reasons == {f"transfer.{end}": "REFERENCE_NOT_FOUND"}
    assert await market.balance(known) == 10


@pytest.mark.parametrize("end", ["source", "destination"])
async def test_an_end_that_is_no_wallet_is_named(market: Market, end: str) -> None:
    """A source or a destination that is the name of something else is INVALID_ARGUMENT by its field."""
    known = await market.wallet(10)
    ends = {"source": known, "destination": known} | {end: known.removesuffix("/wallet")}
    told = await refused(market.transfer(**ends, cents=5))
    assert told.reasons == {f"transfer.{end}": "INVALID_RESOURCE_NAME"}


@pytest.mark.parametrize("cents", [0, -5, -(1 << 63), MAX_DEPOSIT + 1])
async def test_a_transfer_of_no_amount_is_refused(market: Market, cents: int) -> None:
    """A transfer of nothing, of less (which would be theft) and of too much is INVALID_ARGUMENT by its field."""
    source, destination = await market.wallet(10), await market.wallet(10)
    told = await refused(market.transfer(source, destination, cents))
    assert list(told.fields) == ["transfer.amount_cents"]
    assert (await market.balance(source), await market.balance(destination)) == (10, 10)


async def test_opposite_transfers_never_deadlock(market: Market) -> None:
    """Fifty transfers each way at once all answer, at worst INSUFFICIENT_FUNDS, and the sum stays what it was."""
    one, other = await market.wallet(300), await market.wallet(300)
    before = market.failures("40P01")
    pairs = [(one, other), (other, one)] * 50
    answers = await asyncio.gather(*(attempt(market.transfer(*pair, 60)) for pair in pairs))
    refusals = {
        (answer.code, answer.info.reason, answer.info.metadata["resource"])
        for answer in answers
        if isinstance(answer, Refusal)
    }
    assert refusals <= {(grpc.StatusCode.FAILED_PRECONDITION, "INSUFFICIENT_FUNDS", each) for each in (one, other)}
    moved = [answer for answer in answers if isinstance(answer, transfer_pb2.Transfer)]
    assert moved
    gain = sum(60 if transfer.source == one else -60 for transfer in moved)
    assert (await market.balance(one), await market.balance(other)) == (300 - gain, 300 + gain)
    assert len(await _transfers(market, one)) + len(await _transfers(market, other)) == len(moved)
    assert market.failures("40P01") == before, "no deadlock was even retried: the order of the locks prevents them"


async def test_first_transfers_both_ways_never_deadlock(market: Market) -> None:
    """Nor do transfers both ways at once between a wallet that was never used and one with a higher id."""
    fresh, funded = await market.wallet(), await market.wallet(1000)
    before = market.failures("40P01")
    pairs = [(funded, fresh), (fresh, funded)] * 8
    answers = await asyncio.gather(*(attempt(market.transfer(*pair, 1)) for pair in pairs))
    told = {answer.info.reason for answer in answers if isinstance(answer, Refusal)}
    assert told <= {"INSUFFICIENT_FUNDS"}, "only the fresh wallet can have had too little, and only at first"
    back = sum(not isinstance(answer, Refusal) for answer in answers[1::2])
    assert (await market.balance(fresh), await market.balance(funded)) == (8 - back, 992 + back)
    assert market.failures("40P01") == before


async def test_transfers_around_a_ring_keep_the_sum(market: Market) -> None:
    """Transfers around a ring of wallets at once, each wallet a source and a destination, lose nothing."""
    ring = [await market.wallet(100) for _ in range(5)]
    steps = list(zip(ring, ring[1:] + ring[:1], strict=True)) * 8
    answers = await asyncio.gather(*(attempt(market.transfer(*step, 10)) for step in steps))
    assert not [answer for answer in answers if isinstance(answer, Refusal)]
    assert [await market.balance(name) for name in ring] == [100] * 5


async def test_first_deposits_at_once_add_up(market: Market) -> None:
    """Ten deposits at once to a wallet that was never used all succeed, and all of them count."""
    name = await market.wallet()
    await asyncio.gather(*(market.deposit(name, 1 << power) for power in range(10)))
    assert await market.balance(name) == (1 << 10) - 1


async def test_first_transfers_at_once_add_up(market: Market) -> None:
    """Ten transfers and ten deposits at once to a wallet that was never used all succeed, and all of them count."""
    name = await market.wallet()
    sources = [await market.wallet(1 << power) for power in range(10)]
    await asyncio.gather(
        *(market.transfer(source, name, 1 << power) for power, source in enumerate(sources)),
        *(market.deposit(name, 1 << (power + 10)) for power in range(10)),
    )
    assert await market.balance(name) == (1 << 20) - 1


async def test_a_wallet_is_never_spent_twice(market: Market) -> None:
    """Of ten transfers at once of all that a wallet holds exactly one succeeds."""
    source = await market.wallet(100)
    others = [await market.wallet() for _ in range(10)]
    answers = await asyncio.gather(*(attempt(market.transfer(source, other, 100)) for other in others))
    told = [answer for answer in answers if isinstance(answer, Refusal)]
    assert [answer.info.reason for answer in told] == ["INSUFFICIENT_FUNDS"] * 9
    assert sum([await market.balance(other) for other in others]) == 100
    assert await market.balance(source) == 0


async def test_a_wallet_has_a_limit(market: Market) -> None:
    """A deposit past the limit is FAILED_PRECONDITION, BALANCE_LIMIT; up to the limit it succeeds."""
    name = await market.wallet(1)
    await _fill(market, name, MAX_BALANCE - 5)
    told = await refused(market.deposit(name, 6))
    assert (told.code, told.info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "BALANCE_LIMIT")
    assert told.info.metadata == {"resource": name, "limit": str(MAX_BALANCE)}
    assert (await market.deposit(name, 5)).balance_cents == MAX_BALANCE
    assert (await refused(market.deposit(name, 1))).info.reason == "BALANCE_LIMIT"
    assert await market.balance(name) == MAX_BALANCE


async def test_a_transfer_past_the_limit_loses_nothing(market: Market) -> None:
    """A transfer to a wallet that would hold too much is BALANCE_LIMIT, and the money stays where it was."""
    source, full = await market.wallet(10), await market.wallet(1)
    await _fill(market, full, MAX_BALANCE)
    told = await refused(market.transfer(source, full, 10))
    assert (told.code, told.info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "BALANCE_LIMIT")
    assert told.info.metadata["resource"] == full
    assert (await market.balance(source), await market.balance(full)) == (10, MAX_BALANCE)
    assert not await _transfers(market, source)


async def test_deposits_at_once_stop_at_the_limit(market: Market) -> None:
    """Of ten deposits at once, where there is room for three, exactly three succeed."""
    name = await market.wallet(1)
    await _fill(market, name, MAX_BALANCE - 3)
    answers = await asyncio.gather(*(attempt(market.deposit(name, 1)) for _ in range(10)))
    told = [answer for answer in answers if isinstance(answer, Refusal)]
    assert [answer.info.reason for answer in told] == ["BALANCE_LIMIT"] * 7
    assert await market.balance(name) == MAX_BALANCE


@pytest.mark.parametrize("force", [False, True])
async def test_the_user_of_a_used_wallet_cannot_be_deleted(market: Market, force: bool) -> None:
    """A wallet that money went through keeps its user, also when it is empty again and whatever is forced."""
    name = await market.wallet(5)
    await market.transfer(name, await market.wallet(), 5)
    request = user_pb2.DeleteUserRequest(name=name.removesuffix("/wallet"), force=force)
    told = await refused(market.users.DeleteUser(request))
    assert (told.code, told.info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RESOURCE_IN_USE")
    assert await market.balance(name) == 0


async def test_the_user_of_an_unused_wallet_can_be_deleted(market: Market) -> None:
    """A wallet that was read and refused money, but never held any, is deleted with its user: it takes no money."""
    name = await market.wallet()
    await market.balance(name)
    await refused(market.transfer(name, await market.wallet(), 5))
    await market.users.DeleteUser(user_pb2.DeleteUserRequest(name=name.removesuffix("/wallet")))
    for _ in range(2):
        assert (await refused(market.deposit(name, 5))).code is grpc.StatusCode.NOT_FOUND
    assert await market.balance(name) == 0


async def test_what_a_client_says_of_a_transfer_is_not_believed(market: Market) -> None:
    """The name and the times that a client sends with a transfer are ignored."""
    source, destination = await market.wallet(10), await market.wallet()
    sent = transfer_pb2.Transfer(
        name="transfers/7777777",
        source=source,
        destination=destination,
        amount_cents=1,
        create_time=Timestamp(seconds=1),
        update_time=Timestamp(seconds=1),
    )
    made = await market.wallets.CreateTransfer(transfer_pb2.CreateTransferRequest(transfer=sent))
    assert made.name != sent.name
    assert made.create_time.seconds > 1_000_000_000
    assert made.update_time == made.create_time


async def _fill(market: Market, wallet: str, cents: int) -> None:
    """Set what a wallet holds: a hundred thousand deposits would be needed to come near its limit."""
    await market.sql("UPDATE wallets SET balance_cents = :cents WHERE user_id = :id", cents=cents, id=key(wallet))


async def _transfers(market: Market, source: str) -> list[int]:
    """Return the ids of the transfers from a wallet that are on record."""
    rows = await market.sql("SELECT id FROM transfers WHERE source_id = :id", id=key(source))
    return [row[0] for row in rows]


async def test_a_repeated_deposit_is_paid_in_once(market: Market) -> None:
    """A deposit with the request_id of an earlier one gets its answer, and leaves the balance as it is."""
    name = await market.wallet()
    request = wallet_pb2.DepositMoneyRequest(name=name, amount_cents=5, request_id=str(uuid4()))
    first = await market.wallets.DepositMoney(request)
    await market.deposit(name, 10)
    assert await market.wallets.DepositMoney(request) == first
    wallet = await market.wallets.GetWallet(wallet_pb2.GetWalletRequest(name=name))
    assert (first.balance_cents, wallet.balance_cents) == (5, 15)
