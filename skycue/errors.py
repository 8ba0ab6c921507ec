"""Every mistake that a user can make, one class each.

The command line prints the message of a `SkycueError` as one line and exits with 1; anything else
is a bug of ours and shows a traceback.
"""


class SkycueError(Exception):
    """Base of all errors that a user can cause and mend."""


class ConfigError(SkycueError):
    """A configuration holds an unknown key, a wrong type or a value out of range."""


class DatasetError(SkycueError):
    """A dataset folder or one of its files cannot be used as it is."""


class ImageReadError(SkycueError):
    """An image file is missing, damaged or of a kind that is not read."""


class ShotsError(SkycueError):
    """More images per class are asked for than a class holds."""


class SplitError(SkycueError):
    """A split file is missing, malformed, changed since it was recorded, or names absent files."""


class CaptionError(SkycueError):
    """A caption is missing, empty or does not belong to the images it is used with."""


class CheckpointError(SkycueError):
    """A weights file is damaged, of an unsupported kind, or does not fit its configuration."""


class BackboneMismatchError(SkycueError):
    """A learned file was made with another backbone than the one it is used with."""


class PromptTooLongError(SkycueError):
    """A text does not fit the context length of the text encoder."""


class NewClassesError(SkycueError):
    """A method was asked to score classes that it has not learned and cannot score."""


class EncodingError(SkycueError):
    """Kept encodings were asked for where they cannot be right, such as under augmentation."""


class ExportError(SkycueError):
    """A model cannot be written in another format, or what was written does not equal it."""


class OutputExistsError(SkycueError):
    """A result would overwrite an existing file and `--force` was not given."""


class DeviceError(SkycueError):
    """A device or precision was asked for that this machine does not have."""


class OutOfMemoryError(SkycueError):
    """The device ran out of memory; the message names the setting to lower."""


class TrainingError(SkycueError):
    """A training run diverged, or its kept state belongs to another run."""


class RunError(SkycueError):
    """A run cannot go on: its folder holds other results, or what does its work fails."""


class ArchiveError(SkycueError):
    """An input of a run names no raster, or one that cannot be reached."""


class FailedPlacesError(SkycueError):
    """A run is finished, and some of its windows, boxes or rasters failed."""


class BoxError(SkycueError):
    """A box has no area, lies outside its image, or is not four finite numbers."""


class RecordError(SkycueError):
    """A record of a region dataset is malformed or contradicts itself or its image."""


class GroundedTextError(SkycueError):
    """A text with phrases and masks breaks the grammar, or a model wrote a degenerate one."""


class GeoError(SkycueError):
    """A raster has no CRS or geotransform where one is needed, or one that cannot be used."""


class FeatureError(SkycueError):
    """Features cannot be written as asked: the kind of file, its CRS, or a property is wrong."""


class BandError(SkycueError):
    """A band is asked for that a raster does not have, or another number of bands than 1 or 3."""


class MissingToolError(SkycueError):
    """Something optional is not installed; the message says how to get it."""


class NotFoundError(SkycueError):
    """The server holds nothing of that name for the one who asks."""


class UploadError(SkycueError):
    """An upload is out of order, or what arrived is no raster that the server accepts."""


class QuotaError(SkycueError):
    """Something would exceed what one user of the server may keep, or may ask for at once."""


class ConflictError(SkycueError):
    """What is asked for does not fit the state that something on the server is in."""
