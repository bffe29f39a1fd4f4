"""The event file is what TensorFlow reads, and a full disk is told once."""

import pytest
import tensorflow as tf

from earth_embed.errors import FaultWarning
from earth_embed.training.records import TensorBoard
from tests.conftest import limited_file_size


def test_tensorflow_reads_what_was_written(tmp_path):
    board = TensorBoard(tmp_path / "tensorboard", start=4)
    for step in (5, 6):
        board.write(step, {"loss": step / 2, "retrieval/text": 0.25})
    board.close()
    (path,) = (tmp_path / "tensorboard").iterdir()
    events = [tf.compat.v1.Event.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(path))]
    assert events[0].file_version == "brain.Event:2"
    assert events[1].step == 5
    assert events[1].session_log.status == tf.compat.v1.SessionLog.START
    values = [(e.step, v.tag, v.simple_value) for e in events[2:] for v in e.summary.value]
    assert values == [
        (step, name, value)
        for step in (5, 6)
        for name, value in (("loss", step / 2), ("retrieval/text", 0.25))
    ]


def test_a_full_disk_is_told_once_and_training_goes_on(tmp_path):
    board = TensorBoard(tmp_path, start=0)

    def write():
        for step in range(2000):
            board.write(step, {"loss": 1.0})
        board.close()

    with limited_file_size(100), pytest.warns(FaultWarning, match="no longer written: ") as told:
        write()
    assert len(told) == 1
