"""All conformance checks of zoo, on every model of this plugin."""

import zoo.testing


class TestConformance(zoo.testing.PluginConformance):
    """Test a large model at a small size: ``tiny = {"its_name": {"width": 8}}`` gives its builder other arguments."""

    plugin = "template_name"
    tier = "full"
