"""Deep designs: each a function of the data's shape and of its options that draws its weights from a seed."""

from leadline.nn.designs.mlp import MLP as MLP, MLPBlock as MLPBlock, mlp as mlp
from leadline.nn.designs.resnet import BasicBlock as BasicBlock, ResNet as ResNet, resnet as resnet
from leadline.nn.designs.transformer import gpt as gpt, vit as vit
from leadline.nn.designs.vgg import VGG as VGG, ConvBlock as ConvBlock, vgg19 as vgg19
