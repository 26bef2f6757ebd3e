from hardy.spec.load import read_bytes
from hardy.spec.model_names import model_faults


def test_torchvisions_model_may_leave_its_weights_unsaid():
    node = read_bytes(b"model: {kind: torchvision, name: resnet18}", "a.yaml", [])
    assert list(model_faults(node, ("model",))) == []
