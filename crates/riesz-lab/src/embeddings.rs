//! Files of embeddings: npy, safetensors, parquet.
