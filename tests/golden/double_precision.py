"""What makes a model of transformers compute in float64 throughout, where its code asks for float32."""
import torch


class DoublePrecision:
    """While in force, what asks for float32 gets float64."""

    def __enter__(self):
        self.saved = torch.float32, torch.float, torch.Tensor.float, torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        torch.float32 = torch.float = torch.float64
        torch.Tensor.float = torch.Tensor.double

    def __exit__(self, *_):
        torch.float32, torch.float, torch.Tensor.float, default = self.saved
        torch.set_default_dtype(default)
