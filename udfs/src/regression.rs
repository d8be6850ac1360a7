//! Models of a figure or a flag by features: fits, what they predict, and how good it is.

pub(crate) mod design;
