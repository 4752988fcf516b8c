//! Encoders on Burn: backbones and projector.
