"""The places of torchvision's modules, one row per module, for :mod:`zoo.contract.aliases`. No torch.

``.resnet`` is a module of our package for the namespace; a row of a single module is that module itself. Add paths and
names that programs import here, not to the families' files.
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
    " _Transition=.densenet:Transition",
    "efficientnet": ".efficientnet _efficientnet_conf=.efficientnet:settings_of"
    " _MBConvConfig=.efficientnet:StageSetting",
    "googlenet": ".googlenet _GoogLeNetOutputs=.googlenet:GoogLeNetOutputs",
    "inception": ".inception BasicConv2d=.googlenet:BasicConv2d _InceptionOutputs=.inception:InceptionOutputs",
    "maxvit": ".maxvit PartitionAttentionLayer=.maxvit:PartitionAttention"
    " RelativePositionalMultiHeadAttention=.maxvit:RelativePositionalAttention",
    "mnasnet": ".mnasnet _InvertedResidual=.mnasnet:InvertedResidual",
    "mobilenet": ".mobilenet_v3 .mobilenet_v2",
    "mobilenetv2": ".mobilenet_v2 _ConvNormActivation=zoo.nn:Conv2dNormActivation",
    "mobilenetv3": ".mobilenet_v3 SElayer=zoo.nn:SqueezeExcitation _mobilenet_v3_conf=.mobilenet_v3:settings_of"
    " _ConvNormActivation=zoo.nn:Conv2dNormActivation",
    "regnet": ".regnet",
    "resnet": ".resnet",
    "shufflenetv2": ".shufflenet_v2 channel_shuffle=torch:channel_shuffle",
    "squeezenet": ".squeezenet",
    "swin_transformer": ".swin_transformer",
    "vgg": ".vgg",
    "vision_transformer": ".vision_transformer",
    "quantization.googlenet": ".googlenet",
    "quantization.inception": ".inception QuantizableBasicConv2d=.googlenet:QuantizableBasicConv2d",
    "quantization.mobilenet": ".mobilenet_v3 .mobilenet_v2",
    "quantization.mobilenetv2": ".mobilenet_v2",
    "quantization.mobilenetv3": ".mobilenet_v3",
    "quantization.resnet": ".resnet",
    "quantization.shufflenetv2": ".shufflenet_v2",
    "quantization.utils": "quantize_model=.quantization:quantize_model"
    " _fuse_modules=.quantization:fuse_modules _replace_relu=.quantization:replace_relu",
    "segmentation._utils": ".base _SimpleSegmentationModel=.base:SegmentationModel",
    "segmentation.deeplabv3": ".deeplabv3 _deeplabv3_resnet=.deeplabv3:_on_resnet"
    " _SimpleSegmentationModel=.base:SegmentationModel",
    "segmentation.fcn": ".fcn _fcn_resnet=.fcn:_fcn _SimpleSegmentationModel=.base:SegmentationModel",
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

# Further names that each module finds but does not list: torchvision's modules have the names that they import. By
# namespace; "*" is for all.
FOUND = {
    "*": "zoo.models._api zoo.models._utils zoo.models._meta zoo.models._making zoo.transforms._presets zoo.ops.misc"
    " _log_api_usage_once=zoo.utils:_log_api_usage_once",
    "quantization": "zoo.models.quantization.utils",
    "segmentation": "zoo.models.segmentation._utils zoo.models.segmentation.fcn zoo.models.resnet zoo.models.mobilenet",
    "detection": "zoo.models.detection._utils zoo.models.detection.anchor_utils zoo.models.detection.backbone_utils"
    " zoo.models.detection.transform zoo.models.detection.faster_rcnn zoo.ops zoo.ops.poolers"
    " zoo.models.resnet zoo.models.mobilenet zoo.models.vgg"
    " resnet=zoo.models:resnet mobilenet=zoo.models:mobilenet"
    " misc_nn_ops=zoo.ops:misc box_ops=zoo.ops:boxes det_utils=zoo.models.detection:_utils",
    "video": "",
    "optical_flow": "zoo.models.optical_flow._utils",
}

# Private functions that torchvision's builders call: the class, its arguments before ``weights`` and ``progress``; =,
# if not given.
MAKERS = {
    "_convnext": "convnext:ConvNeXt block_setting stochastic_depth_prob",
    "_densenet": "densenet:DenseNet growth_rate block_config num_init_features",
    "_efficientnet": "efficientnet:EfficientNet inverted_residual_setting dropout last_channel",
    "_maxvit": "maxvit:MaxVit stem_channels block_channels block_layers stochastic_depth_prob partition_size head_dim"
    " input_size=224",
    "_mnasnet": "mnasnet:MNASNet alpha",
    "_mobilenet_v3": "mobilenetv3:MobileNetV3 inverted_residual_setting last_channel",
    "_regnet": "regnet:RegNet block_params",
    "_resnet": "resnet:ResNet block layers",
    "_squeezenet": "squeezenet:SqueezeNet version",
    "_swin_transformer": "swin_transformer:SwinTransformer patch_size embed_dim depths num_heads window_size"
    " stochastic_depth_prob",
    "_swin_transformer3d": "video.swin_transformer:SwinTransformer3d patch_size embed_dim depths num_heads window_size"
    " stochastic_depth_prob",
    "_vgg": "vgg:lettered cfg batch_norm",
    "_video_resnet": "video.resnet:VideoResNet block conv_makers layers stem",
    "_vision_transformer": "vision_transformer:VisionTransformer patch_size num_layers num_heads hidden_dim mlp_dim"
    " image_size=224",
}
