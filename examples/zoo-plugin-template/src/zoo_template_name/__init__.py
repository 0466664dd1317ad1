"""ConvMixer for zoo: ``zoo.get_model("convmixer_64_8", weights="DEFAULT")``."""
