"""The engine: a run in a stack is that run alone, and a lone run is a plain torch loop."""

import copy
import math
import shutil
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from bnlab import models, norms
from bnlab.data.augment import Augment
from bnlab.norms import NORMS
from bnlab.training import loop, schedules
from bnlab.training.loop import train
from bnlab.training.optimizers import OPTIMIZERS, SGD
from bnlab.training.order import ORDERS, batches, views_of
from bnlab.training.program import Program
from bnlab.training.stack import Run, Stack

STEPS, BATCH = 20, 8
EQUAL = {"rtol": 1e-6, "atol": 1e-8}  # in float64: only the order of sums differs
RATES, SIGMAS = (0.5, 1.0, 2.0), (0.1, 0.3, 0.6)
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler: no g++")


def finish(stack: Stack, problem, moments=(STEPS,)) -> list:
    """What `train` gives at each moment; weights must be read from the stack."""
    return list(train(stack, *problem, BATCH, moments))


def tensors(stack: Stack, k: int) -> dict[str, Tensor]:
    return {name: t[k].clone() for name, t in {**stack.weights, **stack.buffers}.items()}


@pytest.mark.parametrize(("norm", "optimizer"), sorted({*product(NORMS, ["sgd"]), *product(["batch"], OPTIMIZERS)}))
@pytest.mark.parametrize("seeds", [(0, 1, 2), (4, 4, 4)])
def test_a_run_of_a_stack_is_that_run_alone(norm, optimizer, seeds, make_run, make_stack, problem):
    usual = OPTIMIZERS[optimizer]().lr

    def member(k: int):
        settings = {"name": optimizer, "lr": RATES[k] * usual, "weight_decay": 0.01 * k}
        schedule = ({"name": "constant"}, {"name": "cosine"}, {"name": "constant", "warmup": 10})[k]
        return make_run(norm, settings, seeds[k], SIGMAS[k], schedule=schedule)

    together = make_stack([member(k) for k in range(3)])
    assert together.one_batch == (len(set(seeds)) == 1)
    (end,) = finish(together, problem)
    for k in range(3):
        alone = make_stack([member(k)])
        (its_end,) = finish(alone, problem)
        assert end.batch_loss[k] == pytest.approx(its_end.batch_loss[0], rel=1e-6)
        for name, t in tensors(alone, 0).items():
            torch.testing.assert_close(tensors(together, k)[name], t, **EQUAL)


@pytest.mark.parametrize("shuffle", ORDERS)
@pytest.mark.parametrize("norm", NORMS)
def test_a_stack_of_one_is_a_plain_torch_loop(norm, shuffle, make_run, make_stack, problem):
    images, labels = problem
    run = make_run(norm, {"name": "sgd", "lr": 0.25, "momentum": 0.5}, seed=5)
    network = copy.deepcopy(run.network)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.25, momentum=0.5)
    losses = []
    for rows in ORDERS[shuffle](5, len(images), BATCH, 0, STEPS):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(images[rows].double() / 255), labels[rows])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    stack = make_stack([run])
    (end,) = train(stack, *problem, BATCH, (STEPS,), shuffle=shuffle)
    assert end.batch_loss[0] == pytest.approx(sum(losses) / STEPS, rel=1e-5)  # it is summed in float32
    for name, t in {**dict(network.named_parameters()), **dict(network.named_buffers())}.items():
        torch.testing.assert_close(tensors(stack, 0)[name], t.detach(), **EQUAL)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("seeds", [(5,), (5, 6), (5, 5)])
def test_frozen_layers_stay_while_the_others_train_as_in_a_plain_torch_loop(
    seeds, optimizer, make_run, make_stack, problem
):
    images, labels = problem
    settings = {"name": optimizer, "lr": 0.01, "weight_decay": 0.1}
    members = list(zip(seeds, SIGMAS, strict=False))
    stack = make_stack([make_run("batch", settings, *member, frozen=1) for member in members])
    finish(stack, problem)
    for k, member in enumerate(members):
        network = make_run("batch", settings, *member).network
        network.hidden1.requires_grad_(False)
        before = {f"hidden1.{name}": p.clone() for name, p in network.hidden1.named_parameters()}
        decayed = [{"params": [p for p in network.parameters() if (p.dim() > 1) == decays]} for decays in (True, False)]
        decayed[0]["weight_decay"] = 0.1
        by_torch = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[optimizer](decayed, lr=0.01)
        for rows in batches(member[0], len(images), BATCH, 0, STEPS):
            by_torch.zero_grad()
            nn.functional.cross_entropy(network(images[rows].double() / 255), labels[rows]).backward()
            by_torch.step()
        ours = tensors(stack, k)
        for name, t in {**dict(network.named_parameters()), **dict(network.named_buffers())}.items():
            torch.testing.assert_close(ours[name], t.detach(), **EQUAL)
        assert all(torch.equal(ours[name], p) for name, p in before.items())


@pytest.mark.parametrize(("norm", "seeds"), [("none", (5,)), ("batch", (5, 6)), ("none", (5, 5))])
def test_layers_that_turn_do_so_once_an_update_as_in_a_plain_torch_loop(norm, seeds, make_run, make_stack, problem):
    images, labels = problem
    runs = [
        make_run(norm, {"name": "sgd", "lr": 0.1}, seed, sigma, frozen=1, turning=0.2)
        for seed, sigma in zip(seeds, SIGMAS, strict=False)
    ]
    networks = [copy.deepcopy(run.network) for run in runs]
    stack = make_stack(runs)
    (end,) = train(stack, *problem, BATCH, (STEPS,))
    for k, (seed, network) in enumerate(zip(seeds, networks, strict=True)):
        layer, begin = network.hidden1.linear, copy.deepcopy(network.hidden1.linear)
        for t, rows in enumerate(batches(seed, len(images), BATCH, 0, STEPS)):
            with torch.no_grad():  # another way to have the weights of the moment
                layer.weight.copy_(math.cos(0.2 * t) * begin.weight + math.sin(0.2 * t) * begin.other)
            given = images[rows].double() / 255
            before = nn.functional.linear(given.flatten(1), layer.weight, layer.bias)
            out = network.output(network.hidden2(network.hidden1.act(network.hidden1.norm(before))))
            learning = [p for p in network.parameters() if p.requires_grad]
            loss = nn.functional.cross_entropy(out, labels[rows])
            for p, g in zip(learning, torch.autograd.grad(loss, learning), strict=True):
                p.data.sub_(0.1 * g)
        ours = tensors(stack, k)
        for name in ("hidden2.linear.weight", "output.weight", "output.bias"):
            torch.testing.assert_close(ours[name], network.get_parameter(name).detach(), **EQUAL)
        assert torch.equal(ours["hidden1.linear.weight"], begin.weight)
        assert ours["hidden1.linear.passes"] == STEPS
        torch.testing.assert_close(
            end.networks[k].eval().hidden1.linear(given.flatten(1)),  # as it is tested, it stands still
            given.flatten(1) @ (math.cos(0.2 * STEPS) * begin.weight + math.sin(0.2 * STEPS) * begin.other).T
            + (0 if begin.bias is None else begin.bias),
            **EQUAL,
        )


class Shifted:
    """Four views of an image: its pixels, moved on by 0 to 3."""

    views = 4

    def __call__(self, x: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
        at = (torch.arange(x[0].numel()) + views.unsqueeze(1)) % x[0].numel()
        return x.flatten(1).gather(1, at).view(x.shape)


@pytest.mark.parametrize("seeds", [(0, 1), (4, 4)])
def test_runs_see_the_views_that_their_seed_gives(seeds, make_run, problem):
    images, labels = problem
    runs = [
        make_run("batch", {"name": "sgd", "lr": 0.25}, seed, sigma)
        for seed, sigma in zip(seeds, SIGMAS[:2], strict=True)
    ]
    scaled = Program(runs[0].network, lambda x: x.double() / 255, type(runs[0].optimizer), False)
    together = Stack(runs, scaled, torch.device("cpu"), Shifted())
    finish(together, problem)
    for k, run in enumerate(runs):
        network = copy.deepcopy(run.network)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.25)
        which = (len(images), BATCH, 0, STEPS)
        for rows, views in zip(batches(run.seed, *which), views_of(run.seed, 4, *which), strict=True):
            x = Shifted()(images[rows], views)
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x.double() / 255), labels[rows]).backward()
            optimizer.step()
        for name, parameter in network.named_parameters():
            torch.testing.assert_close(tensors(together, k)[name], parameter.detach(), **EQUAL)


@needs_compiler
@pytest.mark.parametrize(("seeds", "compiled"), [((3,), False), ((3,), True), ((3, 5), False)])
def test_a_conv_net_is_a_plain_torch_loop_alone_and_in_a_stack(seeds, compiled, problem):
    """Alone it is trained without `vmap`, and its images lie in memory with channels last."""
    images, labels = problem
    conv_net, norm = {"name": "convnet", "width": 4, "depth": 2}, norms.build({"name": "batch"})
    runs = [
        Run(
            seed,
            models.build(conv_net, norm, {"name": "fan_in"}, seed, (1, 4, 4), 3).double(),
            OPTIMIZERS["sgd"](lr=0.1, momentum=0.9, weight_decay=0.01),
            schedules.build({"name": "constant"}, STEPS),
        )
        for seed in seeds
    ]
    program = Program(runs[0].network, lambda x: x.double() / 255, SGD, compiled)
    stack = Stack(runs, program, torch.device("cpu"))
    finish(stack, problem)
    for k, run in enumerate(runs):
        network = copy.deepcopy(run.network)
        matrices = [p for p in network.parameters() if p.dim() > 1]
        others = [p for p in network.parameters() if p.dim() == 1]
        groups = [{"params": matrices, "weight_decay": 0.01}, {"params": others}]
        optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
        for rows in batches(run.seed, len(images), BATCH, 0, STEPS):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images[rows].double() / 255), labels[rows]).backward()
            optimizer.step()
        for name, t in {**dict(network.named_parameters()), **dict(network.named_buffers())}.items():
            torch.testing.assert_close(tensors(stack, k)[name], t.detach(), **EQUAL)


def test_views_do_not_hang_on_where_a_training_begins_and_come_equally_often():
    whole = views_of(3, 8, 1000, 30, 0, 100)
    assert torch.equal(whole[37:80], views_of(3, 8, 1000, 30, 37, 43))
    share = torch.bincount(whole.flatten(), minlength=8) / whole.numel()
    assert share.min() > 0.1
    assert share.max() < 0.15
    assert not torch.equal(whole, views_of(4, 8, 1000, 30, 0, 100))


def first_update(bf16: torch.dtype | None, compiled: bool) -> tuple[nn.Module, dict[str, Tensor], Tensor, Tensor]:
    """A conv net, what one step at a rate of 1 takes off its weights, and the batch."""
    conv_net = {"name": "convnet", "width": 4, "depth": 2}
    network = models.build(conv_net, norms.build({"name": "batch"}), {"name": "fan_in"}, 0, (1, 4, 4), 3)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (8, 1, 4, 4), generator=generator, dtype=torch.uint8)
    labels = torch.arange(8) % 3
    run = Run(0, network, SGD(lr=1), schedules.build({"name": "constant"}, 1))
    stack = Stack([run], Program(network, lambda x: x.float() / 255, SGD, compiled, bf16=bf16), torch.device("cpu"))
    list(train(stack, images, labels, 8, [1]))
    updates = {name: network.get_parameter(name).detach() - w[0] for name, w in stack.weights.items()}
    rows = batches(0, 8, 8, 0, 1)[0]
    return network, updates, images[rows].float() / 255, labels[rows]


@needs_compiler
@pytest.mark.parametrize("compiled", [False, True])
def test_bf16_is_torchs_autocast_of_a_conv_net(compiled):
    network, updates, x, y = first_update(torch.bfloat16, compiled)
    off = {}
    for autocast in (True, False):
        theirs = copy.deepcopy(network)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            logits = theirs(x)
        nn.functional.cross_entropy(logits.float(), y).backward()
        off[autocast] = sum(float((updates[name] - p.grad).norm()) for name, p in theirs.named_parameters())
    assert off[True] < 0.3 * off[False]


@needs_compiler
@pytest.mark.parametrize("compiled", [False, True])
def test_rounded_numbers_can_be_multiplied_in_float32(compiled):
    _, exact, *_ = first_update(torch.float64, False)
    _, rounded, *_ = first_update(torch.float32, compiled)
    _, plain, *_ = first_update(None, False)
    for name, update in exact.items():
        size = float(update.norm())
        assert float((rounded[name] - update).norm()) < 2**-12 * size
        assert float((plain[name] - update).norm()) > 2**-12 * size


@pytest.mark.parametrize("products", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("norm", NORMS)
def test_bf16_rounds_products_and_nothing_else(norm, products, make_run, problem):
    run = make_run(norm, dtype=torch.float32)
    ends = []
    for bf16 in (None, products):
        transform, kind = lambda x: x.float() / 255, type(run.optimizer)
        stack = Stack([run], Program(run.network, transform, kind, False, bf16=bf16), torch.device("cpu"))
        (end,) = finish(stack, problem)
        assert {t.dtype for t in tensors(stack, 0).values() if t.is_floating_point()} == {torch.float32}
        ends.append(end.batch_loss[0])
    assert ends[0] != ends[1]
    rel = 2**-4 if norm == "scale" else 2**-6  # bfloat16 has 8 bits, of a mean that may be large beside the spread
    assert ends[1] == pytest.approx(ends[0], rel=rel)


def test_training_learns(make_run, make_stack, problem):
    first, *_, last = finish(make_stack([make_run("batch")]), problem, range(STEPS + 1))[1:]
    assert last.batch_loss[0] < 0.7 * first.batch_loss[0]


def test_twice_the_same_is_the_same_to_the_bit(make_run, make_stack, problem):
    ends = []
    for _ in range(2):
        stack = make_stack([make_run("batch", seed=k, dtype=torch.float32) for k in range(2)])
        loss = [moment.batch_loss for moment in finish(stack, problem, (1, STEPS))]
        ends.append((loss, stack))
    assert ends[0][0] == ends[1][0]
    for k in range(2):
        first, second = (tensors(stack, k) for _, stack in ends)
        assert all(torch.equal(t, second[name]) for name, t in first.items())


def test_a_diverging_run_is_reported_and_harms_no_neighbour(make_run, make_stack, problem):
    def three(rate: float):
        optimizers = [{"name": "sgd", "lr": lr} for lr in (0.1, rate, 0.2)]
        return [make_run("none", o, 0, activation="relu", dtype=torch.float32) for o in optimizers]

    wild, sane = make_stack(three(1e30)), make_stack(three(0.1))
    moments = finish(wild, problem, range(STEPS + 1))
    sane_end = finish(sane, problem, range(STEPS + 1))[-1]
    for k in (0, 2):
        assert all(torch.equal(t, tensors(sane, k)[name]) for name, t in tensors(wild, k).items())
        assert moments[-1].batch_loss[k] == sane_end.batch_loss[k]
    losses = torch.tensor([moment.batch_loss[1] for moment in moments[1:]])
    first = int((~losses.isfinite()).nonzero()[0]) + 1
    assert moments[-1].diverged == [-1, first, -1]
    assert moments[first - 1].diverged == [-1, -1, -1]
    assert sane_end.diverged == [-1, -1, -1]


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_a_stack_that_is_lost_is_not_trained_on_and_ends_alike(norm, make_run, make_stack, problem, monkeypatch):
    monkeypatch.setattr(loop, "CHUNK", 4)

    def ends(to_the_end: bool):
        sgd = {"name": "sgd", "lr": 1e300}  # infinite in float32
        stack = make_stack([make_run(norm, sgd, seed, dtype=torch.float32) for seed in (0, 1)])
        taken, heard, step_on = [], [], stack.step_on
        if to_the_end:
            stack.lost = lambda: False

        def counted(*examples):
            step = step_on(*examples)
            return lambda *given: taken.append(1) or step(*given)

        stack.step_on = counted
        given = list(train(stack, *problem, BATCH, (0, 10, STEPS), heard.append))
        return given, tensors(stack, 0), len(taken), heard[-1]

    (early, weights, few, heard), (late, same_weights, many, _) = ends(False), ends(True)
    assert few < many == heard == STEPS
    assert all(torch.isnan(t).all() for t in weights.values())
    assert all(torch.isnan(t).all() for t in same_weights.values())
    for one, other in zip(early, late, strict=True):
        assert (one.step, one.diverged) == (other.step, other.diverged)
        assert one.batch_loss == pytest.approx(other.batch_loss, nan_ok=True)


def test_members_are_views_of_the_stack(make_run, make_stack, problem):
    stack = make_stack([make_run("batch", seed=k) for k in range(2)])
    network = stack.member(1)
    assert network.training
    finish(stack, problem)
    for name, t in {**dict(network.named_parameters()), **dict(network.named_buffers())}.items():
        assert torch.equal(t, {**stack.weights, **stack.buffers}[name][1])
        assert t.data_ptr() == {**stack.weights, **stack.buffers}[name][1].data_ptr()
    assert not torch.equal(network.hidden1.norm.running_mean, torch.zeros(40).double())


def test_the_networks_that_a_stack_is_made_of_stay_as_they_were(make_run, make_stack, problem):
    run = make_run("batch")
    before = copy.deepcopy(run.network.state_dict())
    finish(make_stack([run]), problem)
    assert all(torch.equal(t, before[name]) for name, t in run.network.state_dict().items())


def test_the_moments_asked_for_are_given(make_run, make_stack, problem):
    given = finish(make_stack([make_run(), make_run(seed=1)]), problem, {9, 0, 3})
    assert [moment.step for moment in given] == [0, 3, 9]
    assert all(len(moment.networks) == 2 for moment in given)
    assert all(torch.tensor(given[0].batch_loss).isnan())


def test_batch_loss_is_the_mean_since_the_moment_before(make_run, make_stack, problem):
    each = [m.batch_loss[0] for m in finish(make_stack([make_run()]), problem, range(13))][1:]
    some = [m.batch_loss[0] for m in finish(make_stack([make_run()]), problem, (0, 3, 12))][1:]
    assert some == pytest.approx([sum(each[:3]) / 3, sum(each[3:]) / 9], rel=1e-5)


def test_stops_between_do_not_change_where_a_run_ends(make_run, make_stack, problem):
    often, once = (make_stack([make_run("batch", dtype=torch.float32)]) for _ in range(2))
    finish(often, problem, range(STEPS + 1))
    finish(once, problem)
    assert all(torch.equal(t, tensors(once, 0)[name]) for name, t in tensors(often, 0).items())


def test_tick_hears_of_progress_and_can_stop_the_training(make_run, make_stack, problem):
    heard = []
    list(train(make_stack([make_run()]), *problem, BATCH, (0, 5, 250), heard.append))
    assert heard == list(range(1, 251))

    def stop(updates: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(train(make_stack([make_run()]), *problem, BATCH, (5,), stop))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("begin", [0, 3, 5, 17, STEPS])
def test_a_training_goes_on_from_a_state_to_the_same_bits(optimizer, begin, make_run, make_stack, problem):
    moments = (0, 2, 5, 10, STEPS)
    whole, killed, again = (
        make_stack([make_run("batch", optimizer, seed=k, dtype=torch.float32) for k in range(2)]) for _ in range(3)
    )
    expected = [moment for moment in finish(whole, problem, moments) if moment.step >= begin]
    again.load(state_at(begin, killed, problem, moments))
    given = list(train(again, *problem, BATCH, moments, begin=begin))
    assert [moment.step for moment in given] == [moment.step for moment in expected]
    for ours, theirs in zip(given, expected, strict=True):
        assert ours.batch_loss == pytest.approx(theirs.batch_loss, abs=0, rel=0, nan_ok=True)
    for name, t in again.state().items():
        assert torch.equal(t, whole.state()[name]), name


@pytest.mark.parametrize("shuffle", ORDERS)
@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_conv_nets_with_dropout_on_views_in_bf16_go_on_to_the_same_bits(seeds, shuffle, problem):
    settings = {"name": "convnet", "width": 4, "depth": 2, "dropout": 0.5}
    members = [
        Run(
            seed,
            models.build(settings, norms.build({"name": "batch"}), {"name": "fan_in"}, seed, (1, 4, 4), 3),
            SGD(lr=0.1, momentum=0.9),
            schedules.build({"name": "cosine"}, STEPS),
        )
        for seed in seeds
    ]
    program = Program(members[0].network, lambda x: x.float() / 255, SGD, False, torch.bfloat16)
    whole, killed, again = (Stack(members, program, torch.device("cpu"), Augment(True, 1)) for _ in range(3))
    list(train(whole, *problem, BATCH, (STEPS,), shuffle=shuffle))
    list(train(killed, *problem, BATCH, (7,), shuffle=shuffle))
    again.load({name: t.clone() for name, t in killed.state().items()})
    list(train(again, *problem, BATCH, (7, STEPS), begin=7, shuffle=shuffle))
    for name, t in again.state().items():
        assert name == "loss_sum" or torch.equal(t, whole.state()[name]), name


def state_at(step: int, stack: Stack, problem, moments) -> dict[str, Tensor]:
    """The state of a fresh `stack` when `step` updates are made, before anybody looks."""
    before = [moment for moment in moments if moment < step]
    list(train(stack, *problem, BATCH, before))
    if step:  # the updates since the last moment, whose losses are summed up
        next(train(stack, *problem, BATCH, [step], begin=before[-1]))
    return {name: t.clone() for name, t in stack.state().items()}


def test_the_state_of_another_stack_is_refused(make_run, make_stack):
    with pytest.raises(ValueError, match="another stack"):
        make_stack([make_run()]).load(make_stack([make_run(), make_run()]).state())


def test_two_kinds_of_optimizer_make_no_stack(make_run, make_stack):
    with pytest.raises(ValueError, match="one kind of optimizer"):
        make_stack([make_run(optimizer="sgd"), make_run(optimizer="adam")])


@needs_compiler
def test_one_program_steps_stacks_of_any_layout(make_run, problem):
    """A layout that was mistaken for another would give wrong numbers."""
    shared = program(make_run("none", dtype=torch.float32), compiled=True)
    for momenta, seeds in [((0.0, 0.0), (0, 1)), ((0.5, 0.0), (0, 1)), ((0.5,), (2,))]:
        optimizers = [{"name": "sgd", "momentum": momentum} for momentum in momenta]
        for sigma in (0.3, 0.6):
            runs = [make_run("none", o, s, sigma, dtype=torch.float32) for o, s in zip(optimizers, seeds, strict=True)]
            own = Stack(runs, program(runs[0], compiled=False), torch.device("cpu"))
            assert_close(own, Stack(runs, shared, torch.device("cpu")), problem)


@needs_compiler
def test_a_compiled_stack_is_trained_on_with_other_batches(make_run, problem):
    run = make_run("none", dtype=torch.float32, frozen=1)
    ends = []
    for compiled in (False, True):
        stack = Stack([run], program(run, compiled), torch.device("cpu"))
        for batch_size in (BATCH, BATCH + 1):
            list(train(stack, *problem, batch_size, (STEPS,)))
        ends.append(tensors(stack, 0))
    for name, t in ends[0].items():
        torch.testing.assert_close(ends[1][name], t, rtol=1e-3, atol=1e-4)
    assert torch.equal(ends[1]["hidden1.linear.weight"], run.network.hidden1.linear.weight)


def program(run, compiled: bool) -> Program:
    mean = torch.full((1, 1, 1), 0.3)  # a tensor that is no argument of the step, as `standardise` has two
    return Program(run.network, lambda x: x.float() / 255 - mean, type(run.optimizer), compiled)


def assert_close(eager: Stack, compiled: Stack, problem) -> None:
    """They are trained and end alike, to float32's tolerance."""
    eager_end, compiled_end = (finish(stack, problem, (0, STEPS))[-1] for stack in (eager, compiled))
    assert compiled_end.batch_loss == pytest.approx(eager_end.batch_loss, rel=1e-4)
    assert compiled_end.diverged == eager_end.diverged
    for k in range(len(eager)):
        for name, t in tensors(eager, k).items():
            torch.testing.assert_close(tensors(compiled, k)[name], t, rtol=1e-3, atol=1e-4)
