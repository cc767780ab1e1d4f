"""The table of backbones: each can be trained, saved and loaded; pixels and weights are what Keras means by them."""

import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import save_file

from edge.errors import UserError
from edge.model.contract import ModelSpec
from edge.model.preprocess import prepare
from train.backbones import BACKBONES, build_backbone
from train.catalogue import cut_points, list_layers, multiply_adds
from train.keras import keras
from train.model import build_classifier

# The smallest inputs that the strides of a graph without padding leave anything of.
SMALLEST = {"inception-v3": 75, "xception": 71}


# The others take ten seconds of a core each: FROSTLITE_SLOW=1 runs them too.
QUICK = {"efficientnet-lite0", "mobilenet-v2", "mobilenet-v3-small", "vgg16"}
skip_slow = pytest.mark.skipif(not os.environ.get("FROSTLITE_SLOW"), reason="slow: set FROSTLITE_SLOW=1")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=[pytest.mark.slow, skip_slow]) for name in BACKBONES]
)
def test_each_is_built_trained_one_step_saved_and_loaded(name: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    base, entry = build_backbone(name, "none", SMALLEST.get(name, 32), width=BACKBONES[name].widths[-1])
    model = build_classifier(base, 3, dropout=0, taps=entry.taps)
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    images = np.random.default_rng(0).uniform(-1, 1, (2, *model.input_shape[1:])).astype(np.float32)
    before = model.get_layer("logits_4").get_weights()[1]  # the bias: random features may be too small to move a kernel
    assert np.isfinite(model.train_on_batch(images, np.array([0, 2])))
    assert not np.array_equal(model.get_layer("logits_4").get_weights()[1], before)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", compile=False)
    assert np.allclose(again(images, training=False), model(images, training=False), atol=1e-5)
    assert not any(isinstance(layer, (keras.layers.Rescaling, keras.layers.Normalization)) for layer in model.layers)


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=[pytest.mark.slow, skip_slow]) for name in BACKBONES]
)
def test_the_taps_are_the_last_layers_before_the_map_shrinks_or_widens(name: str) -> None:
    """Found in the graph: a block ends there, and the next one has another shape; none such lies between the last tap
    and the blocks of the top."""
    base, entry = build_backbone(name, "none", 128)
    ends = [layer for layer in base.layers if layer.name in cut_points(base)]
    changes = [
        before.name
        for before, after in pairwise(ends)
        if before.output.shape[1] > after.output.shape[1] or before.output.shape[3] < after.output.shape[3]
    ]
    assert len(entry.taps) == 3
    assert set(entry.taps) <= set(changes)
    assert sorted(entry.taps, key=changes.index) == list(entry.taps)
    shapes = [tuple(base.get_layer(tap).output.shape) for tap in entry.taps]
    assert len({*shapes, tuple(base.output.shape)}) == 4


def picture(side: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (side, side, 3), np.uint8)  # RGB


@pytest.mark.parametrize(
    ("name", "function", "module"),
    [
        ("mobilenet-v2", "MobileNetV2", "mobilenet_v2"),  # -1 to 1
        ("inception-v3", "InceptionV3", "inception_v3"),  # -1 to 1
        ("densenet121", "DenseNet121", "densenet"),  # mean and deviation of ImageNet
        ("resnet50", "ResNet50", "resnet50"),  # mean of ImageNet, in BGR
        ("efficientnet-v2-b0", "EfficientNetV2B0", "efficientnet_v2"),  # within the model
        ("mobilenet-v3-small", "MobileNetV3Small", "mobilenet_v3"),  # within the model
    ],
)
def test_pixels_mean_what_keras_means(name: str, function: str, module: str, tmp_path: Path) -> None:
    """The same weights give the same features: Keras with its own preprocessing, and ours with the contract's."""
    side = SMALLEST.get(name, 64)
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    theirs = getattr(keras.applications, function)(weights=None, include_top=False, input_shape=(side, side, 3))
    theirs.save(tmp_path / "theirs.keras")
    rgb = picture(side)
    preprocess = getattr(keras.applications, module).preprocess_input
    expected = theirs(preprocess(rgb[None].astype(np.float32)), training=False)

    without = keras.models.load_model(tmp_path / "theirs.keras", compile=False)
    inner = [layer for layer in without.layers if isinstance(layer, keras.layers.Normalization)]
    if inner:  # its three variables are no weights of the backbone
        from train.backbones import without_preprocessing

        without_preprocessing(without).save(tmp_path / "theirs.keras")
    ours, entry = build_backbone(name, str(tmp_path / "theirs.keras"), side)
    spec = ModelSpec(("x",), (side, side), mean=entry.mean, std=entry.std)
    found = ours(prepare(rgb[:, :, ::-1].copy(), spec), training=False)
    assert np.allclose(found, expected, rtol=1e-3, atol=1e-4 * float(np.abs(expected).max()))


def save_tensors(model: keras.Model, path: Path) -> None:
    save_file({weight.name.removesuffix(":0"): weight.numpy() for weight in model.weights}, path)


@pytest.mark.parametrize("suffix", [".h5", ".weights.h5", ".keras", ".safetensors"])
def test_weights_come_from_any_kind_of_file(suffix: str, tmp_path: Path) -> None:
    base, _ = build_backbone("mobilenet-v2", "none", 32, width=0.35)
    path = tmp_path / f"file{suffix}"
    if suffix == ".keras":
        build_classifier(base, 2).save(path)  # a whole run's model
    elif suffix == ".safetensors":
        save_tensors(base, path)
    else:
        base.save_weights(path)
    again, _ = build_backbone("mobilenet-v2", str(path), 32, width=0.35)
    for expected, found in zip(base.get_weights(), again.get_weights(), strict=True):
        assert np.array_equal(found, expected)


def test_the_channels_of_published_weights_are_turned_once(tmp_path: Path) -> None:
    """Those of VGG16 take BGR; a classifier that was made of them takes RGB, and so does what is made of that."""
    theirs = keras.applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 3))
    theirs.save_weights(tmp_path / "published.h5")
    first, _ = build_backbone("vgg16", str(tmp_path / "published.h5"), 32, "block1_pool")
    build_classifier(first, 2).save(tmp_path / "model.keras")
    second, _ = build_backbone("vgg16", str(tmp_path / "model.keras"), 32, "block1_pool")
    kernels = [model.get_layer("block1_conv1").get_weights()[0] for model in (theirs, first, second)]
    assert np.array_equal(kernels[1], kernels[0][:, :, ::-1])
    assert np.array_equal(kernels[2], kernels[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("Conv1/kernel"), "expected a tensor Conv1/kernel, found"),
        (lambda tensors: tensors.update({"Conv1/kernel": np.zeros((3, 3), np.float32)}), r"found \(3, 3\)"),
    ],
)
def test_a_tensor_that_is_missing_or_of_another_shape_is_named(
    change: Callable[[dict], object], message: str, tmp_path: Path
) -> None:
    base, _ = build_backbone("mobilenet-v2", "none", 32, "block_1_expand", 0.35)
    tensors = {weight.name.removesuffix(":0"): weight.numpy() for weight in base.weights}
    change(tensors)
    save_file(tensors, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match=message):
        build_backbone("mobilenet-v2", str(tmp_path / "x.safetensors"), 32, "block_1_expand", 0.35)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04" + bytes(60), bytes(8), b"\xff" * 16])
def test_a_damaged_file_of_tensors_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"x.safetensors does not fit mobilenet-v2"):
        build_backbone("mobilenet-v2", str(tmp_path / "x.safetensors"), 32, width=0.35)


def test_half_precision_and_the_tensors_of_a_whole_classifier_will_do(tmp_path: Path) -> None:
    """Published VGG16 takes BGR; a classifier of this program takes RGB, and its file must not be turned again."""
    first, _ = build_backbone("vgg16", "none", 32, "block1_pool")
    for name, model in (("published", first), ("classifier", build_classifier(first, 2))):
        tensors = {w.name.removesuffix(":0"): w.numpy().astype(np.float16) for w in model.weights}
        save_file(tensors, tmp_path / f"{name}.safetensors")
    expected = first.get_layer("block1_conv1").get_weights()[0].astype(np.float16)
    for name, turned in (("published", True), ("classifier", False)):
        found, _ = build_backbone("vgg16", str(tmp_path / f"{name}.safetensors"), 32, "block1_pool")
        kernel = found.get_layer("block1_conv1").get_weights()[0]
        assert np.array_equal(kernel, expected[:, :, ::-1] if turned else expected)


@pytest.mark.parametrize("suffix", [".h5", ".weights.h5", ".keras", ".safetensors"])
def test_weights_of_another_backbone_are_refused(suffix: str, tmp_path: Path) -> None:
    base, _ = build_backbone("mobilenet-v2", "none", 32, width=0.35)
    path = tmp_path / f"file{suffix}"
    if suffix == ".safetensors":
        save_tensors(base, path)
    else:
        (base.save if suffix == ".keras" else base.save_weights)(path)
    with pytest.raises(UserError, match=f"{path.name} does not fit mobilenet-v1") as error:
        build_backbone("mobilenet-v1", str(path), 32, width=0.25)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "mobilenet"}, "--backbone: expected one of efficientnet-lite0, .*found 'mobilenet'"),
        ({"name": "mobilenet-v2", "weights": "no.h5"}, "no file no.h5"),
        ({"name": "mobilenet-v2", "weights": __file__}, r"expected a .h5, .weights.h5, .keras or .safetensors file"),
        ({"name": "mobilenet-v2", "weights": "none", "width": 0.3}, "--width: expected one of 1, 1.4, .*found 0.3"),
        ({"name": "vgg16", "weights": "none", "width": 0.5}, r"--width: expected 1 \(it comes in one width\)"),
        ({"name": "vgg16", "weights": "none", "size": 32, "cut": "block9"}, "--cut: expected a layer of the backbone"),
        ({"name": "inception-v3", "weights": "none", "size": 40}, "--size: inception-v3 cannot be built for 40"),
    ],
)
def test_what_cannot_be_built_is_told_in_one_line(arguments: dict, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        build_backbone(**arguments)
    assert "\n" not in str(error.value)


def test_a_cut_ends_the_backbone_there() -> None:
    base, _ = build_backbone("inception-v3", "none", 150, "mixed7")
    assert base.output_shape == (None, 7, 7, 768)  # as the course has it
    assert base.layers[-1].name == "mixed7"


@pytest.mark.parametrize(
    ("name", "some"),
    [
        ("inception-v3", {f"mixed{i}" for i in range(11)}),  # the merge of each block
        ("resnet50", {"conv2_block1_out", "conv5_block3_out"}),  # the activation behind the merge
        ("mobilenet-v2", {"block_2_add", "out_relu"}),
        ("vgg16", {"block1_pool", "block5_pool"}),  # no merges at all
    ],
)
def test_places_to_cut_are_where_blocks_end(name: str, some: set[str]) -> None:
    model, _ = build_backbone(name, "none", 96)
    cuts = cut_points(model)
    assert some <= cuts
    # Nothing before a cut is used behind it: the rest can be built on it alone.
    for cut in cuts - {model.layers[-1].name}:
        keras.Model(model.get_layer(cut).output, model.output)


def test_multiply_adds_are_half_of_what_tensorflow_counts() -> None:
    """TensorFlow's profiler counts every multiplication and every addition, activations and all."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2_as_graph
    from tensorflow.python.profiler.model_analyzer import profile
    from tensorflow.python.profiler.option_builder import ProfileOptionBuilder

    model, _ = build_backbone("mobilenet-v1", "none", 96)
    function = tf.function(lambda x: model(x, training=False)).get_concrete_function(tf.TensorSpec((1, 96, 96, 3)))
    _, graph = convert_variables_to_constants_v2_as_graph(function)
    with tf.Graph().as_default() as default:
        tf.graph_util.import_graph_def(graph)
        options = ProfileOptionBuilder(ProfileOptionBuilder.float_operation()).with_empty_output().build()
        counted = profile(default, options=options).total_float_ops
    assert multiply_adds(model) == pytest.approx(counted / 2, rel=0.03)


def test_layers_are_listed_with_shapes_and_places_to_cut() -> None:
    lines = list(list_layers("inception-v3", 150, None))
    assert any(line.startswith("*") and " mixed7 " in line and " 7 x 7 x 768 " in line for line in lines)
    assert any(line.startswith(" ") and " conv2d " in line and " 864" in line for line in lines)  # 3 * 3 * 3 * 32
