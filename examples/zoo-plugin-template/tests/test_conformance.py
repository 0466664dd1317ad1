"""Every check that zoo makes of a plugin, on every model of this one."""

import zoo.testing


class TestConformance(zoo.testing.PluginConformance):
    """A large model is tested small: ``tiny = {"its_name": {"width": 8}}`` gives its builder other arguments."""

    plugin = "template_name"
    tier = "full"
