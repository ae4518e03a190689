"""Where models live: packages on disk, a content-addressed store of them, and how one is fetched.

A package is a folder: `probatum.json` and the files that it names by SHA-256. Nothing of it is
used before every byte has been held to the manifest, and the manifest to its digest. Beside them
may lie the publisher's signature (`signing`); `lineage` and `bom` say what a model was made from.
Must not know engines: what an ONNX file says of itself comes as an argument. Read next: `package`.
"""
