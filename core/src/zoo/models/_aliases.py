"""Where torchvision's modules are: a row each, as :mod:`zoo.contract.aliases` reads them. No torch.

``.resnet`` is a module of our package that serves the namespace; the module of a path that stands alone is that one
itself. To add a path or a name that programs import is to add it here, not to the families' files.
"""

from __future__ import annotations

MODULES = {
    "_api": "zoo.models._describing zoo.registry",
    "_utils": "IntermediateLayerGetter=zoo.features:IntermediateLayers _make_divisible=zoo.nn:make_divisible"
    " handle_legacy_interface=zoo.models._legacy:handle_legacy_interface"
    " _ovewrite_named_param=zoo.models._legacy:overwrite_named_param"
    " _ovewrite_value_param=zoo.models._legacy:overwrite_value_param",
    "_meta": "zoo.models._describing",
    "feature_extraction": "zoo.models._graphs",
    "alexnet": ".alexnet",
    "convnext": ".convnext LayerNorm2d=zoo.nn:LayerNorm2d",
    "densenet": ".densenet _DenseLayer=.densenet:DenseLayer _DenseBlock=.densenet:DenseBlock"
    " _Transition=.densenet:transition",
    "efficientnet": ".efficientnet",
    "googlenet": ".googlenet _GoogLeNetOutputs=.googlenet:GoogLeNetOutputs",
    "inception": ".inception BasicConv2d=.googlenet:BasicConv2d _InceptionOutputs=.inception:InceptionOutputs",
    "maxvit": ".maxvit PartitionAttentionLayer=.maxvit:PartitionAttention"
    " RelativePositionalMultiHeadAttention=.maxvit:RelativePositionalAttention",
    "mnasnet": ".mnasnet _InvertedResidual=.mnasnet:InvertedResidual",
    "mobilenet": ".mobilenet_v3 .mobilenet_v2",
    "mobilenetv2": ".mobilenet_v2 _ConvNormActivation=zoo.nn:Conv2dNormActivation",
    "mobilenetv3": ".mobilenet_v3 _ConvNormActivation=zoo.nn:Conv2dNormActivation",
    "regnet": ".regnet",
    "resnet": ".resnet",
    "shufflenetv2": ".shufflenet_v2 channel_shuffle=torch:channel_shuffle",
    "squeezenet": ".squeezenet",
    "swin_transformer": ".swin_transformer",
    "vgg": ".vgg",
    "vision_transformer": ".vision_transformer",
    "quantization.googlenet": ".googlenet",
    "quantization.inception": ".inception",
    "quantization.mobilenet": ".mobilenet_v3 .mobilenet_v2",
    "quantization.mobilenetv2": ".mobilenet_v2",
    "quantization.mobilenetv3": ".mobilenet_v3",
    "quantization.resnet": ".resnet",
    "quantization.shufflenetv2": ".shufflenet_v2",
    "quantization.utils": "quantize_model=.quantization:quantize_model",
    "segmentation._utils": ".base _SimpleSegmentationModel=.base:SegmentationModel",
    "segmentation.deeplabv3": ".deeplabv3 _SimpleSegmentationModel=.base:SegmentationModel",
    "segmentation.fcn": ".fcn _SimpleSegmentationModel=.base:SegmentationModel",
    "segmentation.lraspp": ".lraspp",
    "detection._utils": ".coding .matching overwrite_eps=.backbones:overwrite_eps"
    " retrieve_out_channels=.backbones:retrieve_out_channels",
    "detection.anchor_utils": ".anchors ImageList=.transform:ImageList",
    "detection.backbone_utils": ".backbones _resnet_fpn_extractor=.backbones:resnet_extractor"
    " _mobilenet_extractor=.backbones:mobilenet_extractor"
    " _validate_trainable_layers=.backbones:validate_trainable_layers",
    "detection.faster_rcnn": ".faster_rcnn AnchorGenerator=.anchors:AnchorGenerator"
    " GeneralizedRCNNTransform=.transform:GeneralizedRCNNTransform RoIHeads=.roi_heads:RoIHeads"
    " _default_anchorgen=.faster_rcnn:default_anchors"
    " RPNHead=.rpn:RPNHead RegionProposalNetwork=.rpn:RegionProposalNetwork",
    "detection.fcos": ".fcos",
    "detection.generalized_rcnn": "GeneralizedRCNN=.faster_rcnn:GeneralizedRCNN",
    "detection.image_list": "ImageList=.transform:ImageList",
    "detection.keypoint_rcnn": ".keypoint_rcnn",
    "detection.mask_rcnn": ".mask_rcnn",
    "detection.retinanet": ".retinanet _default_anchorgen=.retinanet:default_anchors",
    "detection.roi_heads": ".roi_heads paste_masks_in_image=.masks:paste_masks_in_image"
    " expand_boxes=.masks:expand_boxes expand_masks=.masks:expand_masks paste_mask_in_image=.masks:paste_mask_in_image"
    " heatmaps_to_keypoints=.keypoints:heatmaps_to_keypoints keypoints_to_heatmap=.keypoints:keypoints_to_heatmap"
    " box_ops=zoo.ops:boxes"
    " det_utils=zoo.models.detection:_utils",
    "detection.rpn": ".rpn AnchorGenerator=.anchors:AnchorGenerator box_ops=zoo.ops:boxes"
    " det_utils=zoo.models.detection:_utils",
    "detection.ssd": ".ssd _vgg_extractor=.ssd:vgg_extractor",
    "detection.ssdlite": ".ssdlite _mobilenet_extractor=.ssdlite:mobilenet_on",
    "detection.transform": ".transform",
    "video.mvit": ".mvit",
    "video.resnet": ".resnet",
    "video.s3d": ".s3d",
    "video.swin_transformer": ".swin3d",
    "optical_flow._utils": ".sampling",
    "optical_flow.raft": ".raft",
}
