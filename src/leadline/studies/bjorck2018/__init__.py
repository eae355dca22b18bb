"""Understanding batch normalization (Bjorck et al. 2018)."""

from leadline.studies.bjorck2018 import noise as noise, products as products
