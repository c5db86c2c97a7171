"""Maps from pictures: trained networks, ONNX files, training-free methods and folders of published maps."""
