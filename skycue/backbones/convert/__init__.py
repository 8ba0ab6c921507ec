"""One source format a file: OpenAI, TorchScript, OpenCLIP and Hugging Face into one layout."""

from skycue.backbones.convert.conversion import Conversion, convert, read_foreign

__all__ = ["Conversion", "convert", "read_foreign"]
