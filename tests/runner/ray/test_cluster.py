"""What a replica asks of a cluster, and how many fit: arithmetic, without Ray."""

import pytest

from avcurate.errors import UserError
from avcurate.runner.ray.cluster import Ask, room_for
from avcurate.tasks import TASKS
from avcurate.tasks.run import how_of, load_recipe


@pytest.mark.parametrize(
    ("resources", "ask", "rows", "replicas", "options"),
    [
        ({"CPU": 4}, Ask(), 100, 2, {"num_gpus": 0, "num_cpus": 2}),
        ({"CPU": 1}, Ask(), 100, 1, {"num_gpus": 0, "num_cpus": 1}),
        ({"CPU": 64, "GPU": 8}, Ask(), 100, 8, {"num_gpus": 1, "num_cpus": 3}),
        # decoders are given up before GPUs are left idle
        ({"CPU": 16, "GPU": 8}, Ask(decoders=6), 100, 8, {"num_gpus": 1, "num_cpus": 2}),
        ({"CPU": 64, "GPU": 8}, Ask(gpus=4), 100, 2, {"num_gpus": 4, "num_cpus": 3}),
        ({"CPU": 64, "GPU": 8}, Ask(), 3, 3, {"num_gpus": 1, "num_cpus": 3}),
        ({"CPU": 64, "GPU": 8}, Ask(replicas=2, cpus=10), 100, 2, {"num_gpus": 1, "num_cpus": 10}),
        ({"CPU": 8, "GPU": 4}, Ask(gpus=0.0, cpus=0.5), 100, 16, {"num_gpus": 0, "num_cpus": 0.5}),
    ],
)
def test_replicas_fit_what_there_is(resources, ask, rows, replicas, options):
    room = room_for(resources, ask, rows)
    assert (room.replicas, room.options, room.bundles) == (replicas, options, ())


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (Ask(gpus=16), "needs 16 GPUs"),
        (Ask(cpus=65), "65 CPUs"),
        (Ask(replicas=9), "room for 8"),
        (Ask(gpus=1, nodes=2), "cannot be spread over 2"),
    ],
)
def test_what_would_wait_for_ever_is_refused(ask, says):
    with pytest.raises(UserError, match=says):
        room_for({"CPU": 64, "GPU": 8}, ask, 100)


def test_a_replica_over_several_machines_gets_bundles_of_one_gpu():
    """As vLLM asks of a placement group. Not run: no machine here has a GPU."""
    room = room_for({"CPU": 64, "GPU": 16}, Ask(gpus=16, nodes=2), 100)
    assert room.bundles == ({"GPU": 1.0, "CPU": 1.0},) * 16
    assert room.options == {"num_gpus": 0, "num_cpus": 0} and room.replicas == 1


@pytest.mark.parametrize(
    ("changes", "gpus"),
    [
        ({"model.engine": "vllm", "model.tensor_parallel": 4}, 4.0),
        ({"model.engine": "vllm", "model.tensor_parallel": 4, "run.ray.gpus": 2}, 2.0),
        ({"model.engine": "server"}, 0.0),
        ({"model.engine": "transformers"}, None),
    ],
)
def test_a_replica_takes_the_gpus_that_its_model_is_split_over(changes, gpus):
    recipe = load_recipe(TASKS.get("label-pem"), None, {"run.workers": 5, **changes})
    assert (how_of(recipe).ray.gpus, how_of(recipe).ray.decoders) == (gpus, 5)
